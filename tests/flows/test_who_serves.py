"""Who serves: approvals, aliases that were moved by hand, races, calls that were killed."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.approve import approve
from flows.lock import lock
from flows.rollback import rollback
from neuro import people, signing
from neuro.errors import ConfigError, SignatureError, StaleError, UnknownNameError
from neuro.lake import journal
from neuro.models import package_manifest
from neuro.promotion import approvals, serving
from neuro.promotion.retrain_envelope import Envelope
from tasks import promote
from tasks.load import champions, envelopes, models, release_data
from tasks.load.release_data import Loaded
from tasks.record import journals, registry, signing_keys, tracking
from tests.flows.test_promotion import BRAIN, MONTHLY, WIDE, right


def judged(loaded: Loaded, version: str, champion: str, limits: Envelope, cause: str) -> Any:
    """The decision on a version as if each answer of both were right."""
    looked = right(loaded, models.by_version(BRAIN, version))
    beside = right(loaded, models.by_version(BRAIN, champion)) if champion else None
    return promote.promote(loaded, looked, beside, limits, cause)


def by_journal(loaded: Loaded) -> str:
    changed = serving.changes(loaded.lake, "brain")
    return changed[-1].version if changed else ""


def by_alias() -> str:
    found = registry.champion("brain")
    return found.version if found else ""


def limit(home: Path, text: str) -> None:
    (home / "envelopes").mkdir(exist_ok=True)
    (home / "envelopes" / "brain.toml").write_text(text)


@pytest.fixture
def waiting(loaded: Loaded, registered: list[str], home: Path) -> Loaded:
    """Version 1 serves; version 2, which the month has trained, waits: by lines of the journal."""
    digest = registry.find("brain", "1").digest
    line = {"problem": "brain", "package": digest, "trained_on": loaded.release.name, "reason": ""}
    first = {"challenger": "1", "champion": "", "after": 0, "is_promoted": True, "cause": "x"}
    second = {"challenger": "2", "champion": "1", "after": 1, "is_promoted": False}
    second |= {"cause": MONTHLY, "waits_for": "approval"}
    for key, body in (("brain/1/x", first), (f"brain/2/{MONTHLY}", second)):
        assert journal.record(loaded.lake, "decision", key, line | body, datetime.now(UTC))
    registry.set_alias(registry.find("brain", "1"), "champion")
    return loaded


def test_what_waits_serves_once_a_person_has_approved_it_by_name(waiting: Loaded) -> None:
    assert (by_journal(waiting), by_alias()) == ("1", "1")
    told = approve.fn(version="2", reason="agrees with our cases", who="ada")
    assert (told["is_promoted"], told["waits_for"]) == (True, None)
    assert (by_journal(waiting), by_alias()) == ("2", "2")
    (change,) = [each for each in serving.changes(waiting.lake, "brain") if each.version == "2"]
    assert (change.who, change.reason, change.previous) == ("ada", "agrees with our cases", "1")


def test_two_persons_must_approve_where_the_envelope_asks_for_two(
    waiting: Loaded, home: Path
) -> None:
    limit(home, 'approvals = 2\napprovers = ["ada", "grace"]')
    first = approve.fn(version="2", reason="x", who="ada")
    assert (first["is_promoted"], first["approvals_left"], by_alias()) == (False, 1, "1")
    with pytest.raises(ConfigError, match=r"ada has approved .* line 1: approvals = 2"):
        approve.fn(version="2", reason="x", who="ada")
    with pytest.raises(ConfigError, match=r"eve is not among .*line 2: approvers"):
        approve.fn(version="2", reason="x", who="eve")
    assert approve.fn(version="2", reason="x", who="grace")["is_promoted"]
    assert (by_journal(waiting), by_alias()) == ("2", "2")


def test_where_people_are_named_only_an_approver_approves(waiting: Loaded, home: Path) -> None:
    people.add(home / "people.json", "ada", "trainer")
    people.add(home / "people.json", "grace", "approver")
    with pytest.raises(ConfigError, match=r"ada is a trainer of .*this needs the role approver"):
        approve.fn(version="2", reason="x", who="ada")
    assert (by_journal(waiting), by_alias()) == ("1", "1")
    assert approve.fn(version="2", reason="x", who="grace")["is_promoted"]


def test_two_persons_who_approve_at_once_are_two(
    waiting: Loaded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw that nobody had approved yet; the number of the second is taken."""
    limit(home, "approvals = 2")
    record = journal.record

    def meanwhile(*given: Any) -> bool:
        monkeypatch.setattr(journal, "record", record)
        approve.fn(version="2", reason="x", who="ada")
        return record(*given)

    monkeypatch.setattr(journal, "record", meanwhile)
    assert approve.fn(version="2", reason="x", who="grace")["is_promoted"]
    assert by_journal(waiting) == by_alias() == "2"


def test_who_has_approved_lets_it_serve_once_the_envelope_asks_for_fewer(
    waiting: Loaded, home: Path
) -> None:
    limit(home, "approvals = 2")
    approve.fn(version="2", reason="x", who="ada")
    limit(home, "approvals = 1")
    for _ in range(2):  # the second completes the first, if that was cut off
        assert approve.fn(version="2", reason="x", who="ada")["is_promoted"]
    assert by_journal(waiting) == by_alias() == "2"
    assert len(journal.entries(waiting.lake, "approval")) == 2


def test_what_was_approved_waits_no_more_and_is_not_approved_back(waiting: Loaded) -> None:
    assert [*approvals.waiting(waiting.lake, "brain")] == ["2"]
    approve.fn(version="2", reason="x", who="ada")
    assert approvals.waiting(waiting.lake, "brain") == {}
    rollback.fn(reason="misses pituitary", who="ada")
    with pytest.raises(ConfigError, match=r"was approved already.*neuro rollback 2"):
        approve.fn(version="2", reason="x", who="grace")
    assert by_alias() == "1"


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"version": "2", "reason": " "}, ConfigError, "needs a reason"),
        ({"version": "3", "reason": "x"}, UnknownNameError, "those that do: 2"),
        ({"version": "9", "reason": "x"}, UnknownNameError, "does not wait"),
    ],
)
def test_an_approval_that_cannot_be_is_refused_and_nothing_moves(
    waiting: Loaded, asked: dict[str, str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        approve.fn(**asked)
    assert (by_alias(), journal.entries(waiting.lake, "approval")) == ("1", [])


def test_a_candidate_that_was_superseded_is_not_approved(waiting: Loaded) -> None:
    judged(waiting, "3", "1", WIDE, promote.BY_HAND)
    with pytest.raises(ConfigError, match=r"superseded.*beside version 1, and version 3 serves"):
        approve.fn(version="2", reason="x")
    assert (by_alias(), journal.entries(waiting.lake, "approval")) == ("3", [])


def test_a_candidate_outside_the_envelope_waits_though_nobody_has_to_approve(
    loaded: Loaded, registered: list[str], home: Path
) -> None:
    limit(home, 'needs_approval = false\narchitectures = ["resnet18"]')
    entry = judged(loaded, "1", "", envelopes.of_problem(BRAIN), MONTHLY)
    assert (entry["is_promoted"], entry["waits_for"]) == (False, "approval")
    assert 'brain.toml line 2: architectures = ["resnet18"]' in entry["reason"]
    assert by_alias() == ""


def test_a_promotion_says_by_which_line_it_was_made(
    loaded: Loaded, registered: list[str], home: Path
) -> None:
    limit(home, "needs_approval = false")
    entry = judged(loaded, "1", "", envelopes.of_problem(BRAIN), MONTHLY)
    assert entry["who"] == "the envelope: brain.toml line 1: needs_approval = false"
    assert "limits of the envelope" not in entry["reason"]
    assert by_alias() == "1"


def test_a_promotion_by_wide_limits_says_so(loaded: Loaded, registered: list[str]) -> None:
    entry = judged(loaded, "1", "", WIDE, promote.BY_HAND)
    assert "by limits of the envelope: margin 0.45 (default 0.05)" in entry["reason"]


def test_an_alias_that_was_moved_by_hand_is_reported_once_and_not_followed(
    waiting: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    registry.set_alias(registry.find("brain", "3"), "champion")
    for _ in range(2):
        assert models.by_version(BRAIN, "champion").version == "1"
    assert "moved to version 3 outside neuro, and is not followed" in caplog.text
    (line,) = journal.entries(waiting.lake, "alias")
    assert (line.body["alias"], line.body["serves"]) == ("3", "1")


def test_where_the_journal_has_promoted_nothing_the_alias_is_followed(
    loaded: Loaded, registered: list[str]
) -> None:
    registry.set_alias(registry.find("brain", "2"), "champion")
    assert models.by_version(BRAIN, "champion").version == "2"


def test_a_champion_that_this_registry_never_had_does_not_serve(
    waiting: Loaded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'another.db'}")
    tracking.client.cache_clear()
    assert champions.serving_version(waiting.lake, "brain") is None
    with pytest.raises(UnknownNameError, match="no champion"):
        models.by_version(BRAIN, "champion")


def test_of_two_promotions_at_once_the_first_counts_and_the_other_is_judged_again(
    waiting: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were judged beside version 1; the other was written while this one was judged."""
    judge, alone = promote.integrity.gates, replace(WIDE, needs_approval=False)

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(promote.integrity, "gates", judge)
        judged(waiting, "3", "1", alone, promote.BY_HAND)
        return judge(*given)

    monkeypatch.setattr(promote.integrity, "gates", meanwhile)
    with pytest.raises(StaleError, match="promoted meanwhile"):
        judged(waiting, "2", "1", alone, "drift")
    assert (by_journal(waiting), by_alias()) == ("3", "3")
    judged(waiting, "2", "3", alone, "drift")
    assert (by_journal(waiting), by_alias()) == ("2", "2")


def test_a_cause_that_was_decided_is_not_decided_again_after_another_promotion(
    waiting: Loaded,
) -> None:
    alone = replace(WIDE, needs_approval=False)
    first = judged(waiting, "2", "1", alone, "drift")
    judged(waiting, "3", "2", alone, promote.BY_HAND)
    assert judged(waiting, "2", "3", alone, "drift") == first | {"is_promoted": False}
    assert (by_journal(waiting), by_alias()) == ("3", "3")


def test_a_promotion_beside_a_version_that_serves_no_more_is_not_begun(waiting: Loaded) -> None:
    judged(waiting, "3", "1", WIDE, promote.BY_HAND)
    with pytest.raises(StaleError, match="run the same command again"):
        judged(waiting, "2", "1", WIDE, promote.BY_HAND)


CALLS: dict[str, Callable[[Loaded], Any]] = {
    "promote": lambda loaded: judged(loaded, "3", "1", WIDE, promote.BY_HAND),
    "approve": lambda loaded: approve.fn(version="2", reason="x", who="ada"),
    "rollback": lambda loaded: rollback.fn(reason="x", who="ada"),
}
# What a change calls, in its order; a kill comes before or after each.
PLACES = [
    (journal, "record"),
    (champions, "require_counted"),
    (registry, "set_alias"),
    (journals, "export_head"),
]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", PLACES, ids=[name for _, name in PLACES])
@pytest.mark.parametrize("call", CALLS)
def test_a_change_that_is_killed_at_any_call_is_whole_or_absent_and_completed(
    waiting: Loaded,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    place: tuple[Any, str],
    is_after: bool,
) -> None:
    if call == "rollback":
        approve.fn(version="2", reason="x", who="ada")
    before, wanted = by_journal(waiting), {"promote": "3", "approve": "2", "rollback": "1"}[call]
    done = getattr(*place)

    def killed(*given: Any, **named: Any) -> Any:
        if is_after:
            done(*given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(*place, killed)
        with pytest.raises(KeyboardInterrupt):
            CALLS[call](waiting)
    serves = models.by_version(BRAIN, "champion").version
    assert serves in (before, wanted)
    assert by_journal(waiting) == serves == by_alias()
    if serves != wanted:
        CALLS[call](waiting)
    assert by_journal(waiting) == wanted == by_alias()
    assert journals.verify(waiting.lake).is_ok


def test_another_package_under_the_number_that_serves_does_not_serve(
    waiting: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    approve.fn(version="2", reason="x", who="ada")
    tracking.client().set_model_version_tag("neuro-brain", "2", "package_digest", "0" * 64)
    assert champions.serving_version(waiting.lake, "brain") is None
    assert "version 2 of brain serves by the journal" in caplog.text


def test_a_registry_that_is_down_moves_nothing(
    waiting: Loaded, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    lines = len(journal.entries(waiting.lake))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking.client.cache_clear()
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        approve.fn(version="2", reason="x")
    assert len(journal.entries(waiting.lake)) == lines


def test_what_the_registry_hands_over_must_be_signed_by_a_believed_key(
    waiting: Loaded, home: Path, tmp_path: Path
) -> None:
    (own,) = signing_keys.trusted()
    (home / "keys" / signing.PRIVATE).rename(tmp_path / "old.pem")
    signing.create(home / "keys")
    signing.distrust(home / "keys", own)
    with pytest.raises(SignatureError, match=rf"{own}.*neuro keys sign 2 --problem brain"):
        models.by_version(BRAIN, "2")
    registry.sign(registry.find("brain", "2"))
    assert models.by_version(BRAIN, "2").version == "2"


def test_a_package_that_nobody_signed_does_not_serve(waiting: Loaded, home: Path) -> None:
    for path in (home / "packages").glob(f"*/{package_manifest.SIGNATURE}"):
        path.unlink()
    with pytest.raises(SignatureError, match="is not signed"):
        models.by_version(BRAIN, "2")


def test_fresh_test_samples_are_locked_once_and_decide(
    waiting: Loaded, home: Path, draw: Callable[..., Path]
) -> None:
    from flows.ingest import ingest
    from tests.flows.conftest import LABELS

    with pytest.raises(ConfigError, match="no labelled test sample that"):
        lock.fn(release=waiting.release.name, reason="worn")
    ingest.fn(source=str(draw(LABELS, 20, name="later", seed=5)))
    later = release_data.load(waiting.lake, BRAIN)
    told = lock.fn(release=later.release.name, reason="worn", who="ada")
    tested = later.frames.labelled("test")
    fresh = tested[~later.known_at(waiting.release.name)[tested]]
    assert (told["n"], told["after"]) == (len(fresh), waiting.release.name)
    entry = judged(later, "3", "1", WIDE, promote.BY_HAND)
    (gate,) = (gate for gate in entry["gates"] if gate["name"] == "no_worse_on_test")
    assert f"on the same {len(fresh)} test samples" in gate["explanation"]
    assert not [gate for gate in entry["gates"] if gate["name"].endswith("on_recent")]


def test_the_journal_names_each_damage_and_a_cut_tail_by_a_kept_head(
    waiting: Loaded, tmp_path: Path
) -> None:
    exported = tmp_path / "journal.jsonl"
    head = journals.export(waiting.lake, exported)
    assert journals.verify(waiting.lake, exported).is_ok
    with pytest.raises(ConfigError, match="keep the earlier export"):
        journals.export(waiting.lake, exported)
    rows = exported.read_text().splitlines()
    assert len(rows) == head.number + 1
    forged = json.loads(rows[-1]) | {"number": 1}
    exported.write_text("\n".join([*rows[:-1], json.dumps(forged)]))
    found = journals.verify(waiting.lake, exported)
    assert (found.is_ok, found.damaged, len(found.faults)) == (False, (), 1)
