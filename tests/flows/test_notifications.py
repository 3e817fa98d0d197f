"""Verdicts, promotions and candidates that wait, as somebody on a webhook learns of them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.approve import approve
from flows.rollback import rollback
from monitoring import verdicts
from monitoring.harm import Evidence
from neuro.errors import StaleError
from neuro.promotion import verdict_log
from neuro.promotion.drift_policy import DriftPolicy
from neuro.promotion.retrain_envelope import Envelope
from neuro.promotion.verdict_log import SNOOZE, Response
from tasks import drift, promote
from tasks.load import models
from tasks.load.release_data import Loaded
from tests.flows.test_audit import Asked, asked  # noqa: F401 - a fixture
from tests.flows.test_promotion import BRAIN, MONTHLY, OPEN, right
from tests.flows.test_who_serves import waiting  # noqa: F401 - a fixture
from tests.tasks.record.notified import Inbox, inbox, write_list

SERVES, WAITS = (
    "neuro: version {} of brain serves",
    "neuro: version {} of brain waits for an approval",
)


@pytest.fixture
def webhook(home: Path) -> Iterator[Inbox]:
    with inbox() as received:
        write_list(home, f"json://{received.address}")
        yield received


def titles(webhook: Inbox) -> list[str]:
    return [message["title"] for message in webhook.messages]


@pytest.mark.parametrize(("limits", "title"), [(OPEN, SERVES), (Envelope(), WAITS)])
def test_a_cause_that_is_decided_is_told_once(
    loaded: Loaded, registered: list[str], webhook: Inbox, limits: Envelope, title: str
) -> None:
    looked = right(loaded, models.by_version(BRAIN, registered[0]))
    for _ in range(2):
        with suppress(StaleError):  # of the second, where the first has changed who serves
            promote.promote(loaded, looked, None, limits, MONTHLY)
    assert titles(webhook) == [title.format(registered[0])]
    wanted = (
        f"neuro approve {registered[0]} --problem brain" if title == WAITS else "neuro rollback"
    )
    assert wanted in webhook.messages[0]["message"]


def test_a_challenger_that_is_not_promoted_is_not_told(
    loaded: Loaded, model: str, webhook: Inbox
) -> None:
    looked = right(loaded, models.load(BRAIN, model))
    assert not promote.promote(loaded, looked, None, OPEN, promote.BY_HAND)["is_promoted"]
    assert titles(webhook) == []


def test_an_approval_is_told_once_though_the_call_is_given_again(
    waiting: Loaded,  # noqa: F811
    webhook: Inbox,
) -> None:
    for _ in range(2):
        approve.fn(version="2", reason="agrees with patient_0042", who="ada")
    assert titles(webhook) == [SERVES.format(2)]
    assert "patient_0042" not in str(webhook.messages)


def test_an_approval_that_is_not_the_last_says_that_the_candidate_still_waits(
    waiting: Loaded,  # noqa: F811
    webhook: Inbox,
    home: Path,
) -> None:
    (home / "envelopes").mkdir()
    (home / "envelopes" / "brain.toml").write_text("approvals = 2\n")
    approve.fn(version="2", reason="agrees", who="ada")
    assert titles(webhook) == [WAITS.format(2)]
    approve.fn(version="2", reason="agrees, too", who="grace")
    assert titles(webhook)[1:] == [SERVES.format(2)]


def test_a_rollback_is_told(
    waiting: Loaded,  # noqa: F811
    webhook: Inbox,
) -> None:
    approve.fn(version="2", reason="agrees", who="ada")
    rollback.fn(reason="misses pituitary", who="ada")
    assert titles(webhook) == [SERVES.format(2), SERVES.format(1)]


def test_a_verdict_that_is_not_steady_is_told_once_and_none_while_a_person_wants_quiet(
    asked: Asked,  # noqa: F811
    webhook: Inbox,
    tmp_path: Path,
) -> None:
    steady = drift.judge(asked.compared, DriftPolicy())
    shown = Evidence(wealth=200.0, n=80, windows=2, allowed=0.05, recent=0.3)
    heard = verdicts.with_audits(steady, shown, DriftPolicy(), 0.05)

    def remember(verdict: verdicts.Verdict) -> None:
        page = tmp_path / "page.html"
        drift.remember(asked.loaded, asked.model, asked.compared, verdict, page, "brain")

    for verdict in (heard, heard):
        remember(verdict)
    assert titles(webhook) == ["neuro: drift of brain, verdict retrain"]
    ids = {str(each) for each in asked.loaded.frames.sample_ids}
    ids |= {str(each) for each in asked.loaded.frames.groups}
    assert not [each for each in ids if each in webhook.messages[0]["message"]]
    now = datetime.now(UTC)
    quiet = Response(said=SNOOZE, who="ada", reason="known", at=now, until=now + timedelta(days=1))
    verdict_log.respond(asked.loaded.lake, verdict_log.last(asked.loaded.lake, "brain"), quiet)
    remember(replace(heard, verdict="label"))
    assert len(webhook.messages) == 1
