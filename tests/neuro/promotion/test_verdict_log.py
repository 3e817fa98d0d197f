"""Verdicts as they are kept, and the words of persons beside them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.promotion import verdict_log
from neuro.promotion.verdict_log import ACKNOWLEDGE, OVERRULE, SNOOZE, Judged, Response

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def store(
    lake: Lake,
    verdict: str,
    window: str = "w",
    at: datetime = NOW,
    days: float = 7.0,
    **more: object,
) -> str | None:
    body = {"problem": "brain", "window": window, "model": "3", "verdict": verdict}
    body |= {"reason": "because", "problem_reference": "brain"}
    cause = f"brain/verdict/{window}/model-3/2"
    return verdict_log.record(lake, cause, body | {"days": days} | more, at)


def say(lake: Lake, said: str, *, at: datetime = NOW, reason: str = "seen", **more: object) -> None:
    response = Response(said=said, who="ana", reason=reason, at=at, **more)  # type: ignore[arg-type]
    verdict_log.respond(lake, verdict_log.last(lake, "brain"), response)


def wanted(lake: Lake, at: datetime = NOW) -> list[str]:
    return [each.cause for each in verdict_log.wanting(lake, "brain", at)]


def test_the_same_verdict_on_a_window_is_stored_once_and_another_beside_it(lake: Lake) -> None:
    first = store(lake, "label")
    assert store(lake, "label") is None
    second = store(lake, "retrain")
    assert store(lake, "retrain") is None
    assert [each.cause for each in verdict_log.all_of(lake, "brain")] == [first, second]
    assert wanted(lake) == [second]


def test_a_verdict_that_turns_back_is_stored_again(lake: Lake) -> None:
    found = [store(lake, verdict) for verdict in ("retrain", "label", "retrain")]
    assert [each.cause for each in verdict_log.all_of(lake, "brain")] == found
    assert wanted(lake) == [found[2]]


def test_a_verdict_that_was_taken_back_by_a_later_one_starts_nothing(lake: Lake) -> None:
    store(lake, "retrain")
    store(lake, "steady", at=NOW + WEEK)
    assert wanted(lake, NOW + WEEK) == []


def test_of_many_that_ask_the_last_is_answered_for_all(lake: Lake) -> None:
    store(lake, "retrain", "w1")
    last = store(lake, "retrain", "w2", NOW + WEEK)
    assert wanted(lake, NOW + WEEK) == [last]


def test_what_was_asked_before_the_last_decision_was_answered_by_it(lake: Lake) -> None:
    cause = store(lake, "retrain")
    decision = {"problem": "brain", "challenger": "4", "champion": "", "reason": ""}
    decision |= {"is_promoted": False, "cause": "other"}
    journal.record(lake, "decision", "x", decision, NOW + WEEK)
    assert wanted(lake, NOW + WEEK) == []
    say(lake, OVERRULE, at=NOW + 2 * WEEK, outcome="retrain")  # a person asks for it again
    assert wanted(lake, NOW + 2 * WEEK) == [cause]


def test_a_verdict_on_a_model_that_serves_no_more_starts_nothing(lake: Lake) -> None:
    decision = {"problem": "brain", "challenger": "4", "champion": "3", "reason": ""}
    decision |= {"is_promoted": True, "cause": "other"}
    journal.record(lake, "decision", "x", decision, NOW)
    store(lake, "retrain", at=NOW + WEEK)
    assert wanted(lake, NOW + WEEK) == []


def test_a_verdict_that_asks_for_nothing_is_no_cause(lake: Lake) -> None:
    cause = str(store(lake, "look"))
    assert verdict_log.refusal(lake, "brain", cause, NOW) == "its verdict is look"
    assert verdict_log.refusal(lake, "brain", "brain/month/2026-12", NOW) is None


def test_an_overruled_verdict_starts_nothing_and_one_that_is_overruled_to_it_does(
    lake: Lake,
) -> None:
    cause = store(lake, "retrain")
    say(lake, OVERRULE, outcome="look")
    assert wanted(lake) == []
    refusal = verdict_log.refusal(lake, "brain", str(cause), NOW)
    assert refusal == "overruled: overrule to look, by ana: seen"
    say(lake, OVERRULE, outcome="retrain", at=NOW + WEEK)
    assert wanted(lake) == [cause]
    assert verdict_log.refusal(lake, "brain", str(cause), NOW) is None


def test_while_a_problem_is_snoozed_no_verdict_of_it_starts_anything(lake: Lake) -> None:
    first = store(lake, "look")
    say(lake, SNOOZE, until=NOW + 2 * WEEK)
    later = store(lake, "retrain", "next", NOW + WEEK)
    assert wanted(lake, NOW + WEEK) == []
    assert verdict_log.refusal(lake, "brain", str(later), NOW + WEEK) is not None
    assert wanted(lake, NOW + 2 * WEEK) == [later]
    assert first != later


def test_the_last_snooze_counts(lake: Lake) -> None:
    cause = store(lake, "retrain")
    say(lake, SNOOZE, until=NOW + 9 * WEEK)
    say(lake, SNOOZE, at=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2))
    assert wanted(lake, NOW + WEEK) == [cause]


def test_who_has_only_seen_it_changes_nothing(lake: Lake) -> None:
    cause = store(lake, "retrain")
    say(lake, ACKNOWLEDGE)
    assert wanted(lake) == [cause]
    (judged,) = verdict_log.all_of(lake, "brain")
    assert [str(each) for each in judged.responses] == ["acknowledge, by ana: seen"]


def outcomes(found: list[Judged]) -> list[str]:
    return [each.outcome for each in found]


def test_windows_before_overlap_neither_this_one_nor_each_other(lake: Lake) -> None:
    for days_ago, verdict in ((21, "steady"), (14, "look"), (10, "retrain"), (7, "label")):
        store(lake, verdict, f"w{days_ago}", NOW - timedelta(days=days_ago))
    store(lake, "retrain", "daily", NOW - timedelta(days=1))
    found = verdict_log.before(
        verdict_log.all_of(lake, "brain"), window="now", model="3", days=7.0, at=NOW
    )
    assert outcomes(found) == ["label", "look", "steady"]


def test_a_window_that_is_judged_again_later_stays_where_it_was(lake: Lake) -> None:
    store(lake, "label", "w14", NOW - 2 * WEEK)
    store(lake, "steady", "w7", NOW - WEEK)
    again = {"until": (NOW - 2 * WEEK).isoformat()}
    store(lake, "retrain", "w14", NOW - timedelta(hours=1), **again)
    every = verdict_log.all_of(lake, "brain")
    ask = {"model": "3", "days": 7.0}
    found = verdict_log.before(every, window="now", at=NOW, **ask)
    assert outcomes(found) == ["steady", "retrain"]
    found = verdict_log.before(every, window="w7", at=NOW - WEEK, **ask)
    assert outcomes(found) == ["retrain"]


def test_the_last_verdict_of_a_model_says_which_days_a_window_has(lake: Lake) -> None:
    name = "7-days-to-2026-11-30"
    store(lake, "steady", name, NOW - timedelta(hours=9))
    store(lake, "label", name)
    found = verdict_log.of_days(lake, "brain", name, "3")
    assert found is not None
    assert (found.until, found.days) == (NOW, 7.0)
    assert verdict_log.of_days(lake, "brain", "brain-0002-ab", "3") is None
    said = rf"model 4 has judged no window '{name}' of brain; the last are none"
    with pytest.raises(UnknownNameError, match=said):
        verdict_log.of_days(lake, "brain", name, "4")


def test_a_line_of_before_has_the_days_that_its_window_is_named_after(lake: Lake) -> None:
    store(lake, "steady", "14-days-to-2026-11-30", days=0.0)
    (found,) = verdict_log.all_of(lake, "brain")
    assert (found.days, found.until) == (14.0, NOW)


def test_windows_of_releases_follow_each_other_without_days(lake: Lake) -> None:
    for name, verdict in (("2", "steady"), ("3", "label"), ("3", "look"), ("4", "label")):
        store(lake, verdict, name, NOW, days=0.0)
    every = verdict_log.all_of(lake, "brain")
    found = verdict_log.before(every, window="4", model="3", days=0.0, at=NOW)
    assert sorted(outcomes(found)) == ["look", "steady"]
    assert verdict_log.before(every, window="w", model="3", days=7.0, at=NOW + WEEK) == []
    assert verdict_log.before(every, window="4", model="4", days=0.0, at=NOW) == []


def test_a_release_that_is_judged_again_is_no_later_one(lake: Lake) -> None:
    for name, verdict, days_ago in (("3", "label", 60), ("4", "steady", 30), ("3", "look", 1)):
        store(lake, verdict, name, NOW - timedelta(days=days_ago), days=0.0)
    every = verdict_log.all_of(lake, "brain")
    found = verdict_log.before(every, window="5", model="3", days=0.0, at=NOW)
    assert outcomes(found) == ["steady", "look"]


@pytest.mark.parametrize(
    ("said", "outcome", "reason", "says"),
    [
        (OVERRULE, "calm", "x", "steady, look, label or retrain, got 'calm'"),
        (OVERRULE, "inconclusive", "x", "is overruled to"),
        (ACKNOWLEDGE, "", "  ", "say why"),
    ],
)
def test_what_cannot_be_said_is_refused(
    lake: Lake, said: str, outcome: str, reason: str, says: str
) -> None:
    store(lake, "label")
    with pytest.raises(ConfigError, match=says):
        say(lake, said, outcome=outcome, reason=reason)
    assert verdict_log.last(lake, "brain").responses == ()


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan"), 91.0])
def test_a_snooze_has_an_end_that_is_near(days: float) -> None:
    with pytest.raises(ConfigError, match="at most 90 days"):
        verdict_log.response(SNOOZE, who="ana", reason="x", now=NOW, days=days, outcome="")


def test_a_window_that_was_not_judged_is_named_with_those_that_were(lake: Lake) -> None:
    with pytest.raises(UnknownNameError, match="neuro drift --problem brain"):
        verdict_log.last(lake, "brain")
    store(lake, "label", "7-days-to-2026-11-30")
    with pytest.raises(UnknownNameError, match="the last are of 7-days-to-2026-11-30"):
        verdict_log.last(lake, "brain", "7-days-to-2026-11-31")


def test_what_was_said_last_of_an_earlier_release_counts_where_a_later_is_judged_again(
    lake: Lake,
) -> None:
    for name, verdict, days_ago in (("1", "look", 60), ("2", "look", 30), ("1", "label", 20)):
        store(lake, verdict, name, NOW - timedelta(days=days_ago), days=0.0)
    every = verdict_log.all_of(lake, "brain")
    found = verdict_log.before(every, window="2", model="3", days=0.0, at=NOW)
    assert outcomes(found) == ["label"]
    assert verdict_log.before(every, window="1", model="3", days=0.0, at=NOW) == []


def test_windows_that_are_passed_over_hide_none(lake: Lake) -> None:
    store(lake, "steady", "w8", NOW - timedelta(days=8))
    store(lake, "label", "w7", NOW - WEEK)
    ask = {"window": "now", "model": "3", "days": 7.0, "at": NOW}
    every = verdict_log.all_of(lake, "brain")
    assert outcomes(verdict_log.before(every, **ask)) == ["label"]
    calm = verdict_log.before(every, wanted=lambda each: each.outcome == "steady", **ask)
    assert outcomes(calm) == ["steady"]
