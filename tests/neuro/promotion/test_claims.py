"""A claim is judged by the state of its flow run, and names problem and kind."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.promotion import claims
from neuro.promotion.claims import RunState

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CAUSE = "brain/verdict/brain-0002/model-7/brain-0002"
STATES: dict[str, RunState] = {
    "working": "open",
    "done": "completed",
    "killed": "broken off",
    "cancelled": "cancelled",
    "": "unknown",
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def claim(
    lake: Lake,
    run_id: str,
    *,
    cause: str = CAUSE,
    problem: str = "brain",
    now: datetime = NOW,
    states: Mapping[str, RunState] = STATES,
) -> bool:
    def look_up(flow_run: str) -> RunState:
        return states.get(flow_run, "unknown")

    return claims.claim(lake, problem, cause, run_id=run_id, now=now, look_up=look_up)


def is_open(lake: Lake, cause: str = CAUSE, *, now: datetime = NOW) -> bool:
    found = claims.open_causes(
        lake, "brain", [cause], now=now, look_up=lambda run: STATES.get(run, "unknown")
    )
    return found == [cause]


@pytest.mark.parametrize(
    ("holder", "is_taken_over"), [("working", False), ("done", False), ("killed", True)]
)
def test_a_claim_is_taken_over_where_its_run_was_broken_off(
    lake: Lake, holder: str, *, is_taken_over: bool
) -> None:
    assert claim(lake, holder)
    assert is_open(lake) is is_taken_over
    assert claim(lake, "next") is is_taken_over


def test_a_cause_that_led_to_a_decision_is_done_however_its_run_ended(lake: Lake) -> None:
    claim(lake, "killed")
    journal.record(lake, "decision", "x", {"problem": "brain", "cause": CAUSE}, NOW)
    assert not is_open(lake)
    assert not claim(lake, "next")
    claims.release(lake, CAUSE, RuntimeError("after it"), run_id="killed", now=NOW)
    assert not is_open(lake)
    assert not claim(lake, "next")


def test_of_five_that_take_over_a_killed_run_one_wins(lake: Lake) -> None:
    claim(lake, "killed")
    states: dict[str, RunState] = {**STATES, **dict.fromkeys("abcde", "open")}
    with ThreadPoolExecutor(5) as pool:
        won = list(pool.map(lambda run: claim(lake, run, states=states), "abcde"))
    assert sorted(won) == [False, False, False, False, True]


def test_a_killed_run_that_fails_late_does_not_give_back_the_claim_of_its_successor(
    lake: Lake,
) -> None:
    claim(lake, "killed")
    claim(lake, "working")
    claims.release(lake, CAUSE, RuntimeError("late"), run_id="killed", now=NOW)
    assert not claim(lake, "third")


def test_a_run_that_is_started_again_keeps_its_claim(lake: Lake) -> None:
    assert claim(lake, "working")
    assert claim(lake, "working")


@pytest.mark.parametrize("days", [-400, -1.1, 1.1, 400])
def test_a_claim_of_a_run_nobody_knows_is_believed_for_a_day_whatever_its_clock(
    lake: Lake, days: float
) -> None:
    claim(lake, "of another server", now=NOW + timedelta(days=days))
    assert is_open(lake)
    assert claim(lake, "next")


@pytest.mark.parametrize("hours", [-23, 0, 23])
def test_a_fresh_claim_of_a_run_nobody_knows_stands(lake: Lake, hours: int) -> None:
    claim(lake, "of another server", now=NOW + timedelta(hours=hours))
    assert not is_open(lake)
    assert not claim(lake, "next")


def test_a_failed_training_is_open_again(lake: Lake) -> None:
    claim(lake, "working")
    claims.release(lake, CAUSE, MemoryError("no room"), run_id="working", now=NOW)
    assert is_open(lake)
    (failed,) = journal.entries(lake, "failed")
    assert failed.body == {"cause": CAUSE, "problem": "brain", "error": "MemoryError: no room"}


@pytest.mark.parametrize("is_given_back", [False, True])
def test_what_a_person_cancelled_starts_no_more_by_itself_but_may_be_begun(
    lake: Lake, *, is_given_back: bool
) -> None:
    claim(lake, "cancelled")
    if is_given_back:  # as a process does that is asked to end
        claims.release(lake, CAUSE, SystemExit(), run_id="cancelled", now=NOW)
    assert not is_open(lake)
    assert claim(lake, "next")


def test_only_the_training_of_this_month_is_begun_again_for_its_claim(lake: Lake) -> None:
    month = claims.full_cause("brain", "monthly", run_id="r", now=NOW)
    others = ("run/x", "verdict/w/model-1/3", "named/x", "month/2026-10")
    for other in others:
        claim(lake, "working", cause=f"brain/{other}")
    assert claims.begun_by_itself(lake, "brain", NOW) == []
    claim(lake, "working", cause=month)
    assert claims.begun_by_itself(lake, "brain", NOW) == [month]
    assert claims.begun_by_itself(lake, "chest", NOW) == []


def test_a_failure_is_one_of_the_training_and_no_end_of_its_process(lake: Lake) -> None:
    claim(lake, "killed")
    claim(lake, "working", now=NOW + timedelta(hours=1))
    assert claims.last_failure(lake, "brain", CAUSE) is None
    later = NOW + timedelta(hours=2)
    claims.release(lake, CAUSE, MemoryError("no room"), run_id="working", now=later)
    assert claims.last_failure(lake, "brain", CAUSE) == later


def test_each_problem_has_its_own_month(lake: Lake) -> None:
    for problem in ("brain", "chest"):
        cause = claims.full_cause(problem, "monthly", run_id="r", now=NOW)
        assert cause == f"{problem}/month/2026-11"
        assert claim(lake, "working", cause=cause, problem=problem)


def write_claim_of_before(lake: Lake, problem: str, cause: str, run_id: str, at: datetime) -> None:
    body = {"cause": cause, "problem": problem, "flow_run_id": run_id}
    journal.record(lake, "claim", f"retrain/{cause}/0", body, at)


def test_a_month_claimed_by_the_version_before_stands_for_its_problem_alone(lake: Lake) -> None:
    write_claim_of_before(lake, "brain", "month/2026-11", "done", NOW)
    assert not claim(lake, "next", cause="brain/month/2026-11")
    assert claim(lake, "next", cause="chest/month/2026-11", problem="chest")


def test_a_month_that_failed_in_the_version_before_is_open(lake: Lake) -> None:
    write_claim_of_before(lake, "brain", "month/2026-11", "done", NOW)
    journal.record(lake, "failed", "month/2026-11/0", {"cause": "month/2026-11", "error": "x"}, NOW)
    assert claim(lake, "next", cause="brain/month/2026-11")


@pytest.mark.parametrize("cause", ["month/2026-11", "brain/w/model-1/r", "run/killed"])
def test_a_claim_of_before_is_judged_by_its_run(lake: Lake, cause: str) -> None:
    write_claim_of_before(lake, "brain", cause, "killed", NOW)
    named = "brain/month/2026-11" if cause.startswith("month") else cause
    assert claim(lake, "next", cause=named)


@pytest.mark.parametrize("problem", ["run", "month", "verdict", "named", "brain"])
@pytest.mark.parametrize(
    "text", ["monthly", " Monthly", "run/x", "month/2026-11", "week-1", "a b/run/c", "brain/x"]
)
def test_only_what_names_no_cause_was_started_by_a_person(problem: str, text: str) -> None:
    automatic = claims.full_cause(problem, text, run_id="r", now=NOW)
    assert automatic.split("/")[:2] in ([problem, "month"], [problem, "named"])
    assert claims.full_cause(problem, automatic, run_id="r", now=NOW) == automatic
    assert not claims.is_by_hand(problem, automatic)
    verdict = claims.verdict_cause(problem, "run", "7", "run")
    assert claims.full_cause(problem, verdict, run_id="r", now=NOW) == verdict
    assert not claims.is_by_hand(problem, verdict)
    of_before = f"{problem}/w/model-7/r"
    assert claims.full_cause(problem, of_before, run_id="r", now=NOW) == of_before
    by_hand = claims.full_cause(problem, None, run_id="r", now=NOW)
    assert by_hand == f"{problem}/run/r"
    assert claims.is_by_hand(problem, by_hand)


@pytest.mark.parametrize(
    "cause", ["chest/month/2026-11", CAUSE, "chest/w/model-1/chest-0001", "chest/run/x"]
)
def test_a_cause_of_another_problem_is_refused(cause: str) -> None:
    with pytest.raises(ConfigError, match=r"is of problem (chest|brain), and this .* of skin"):
        claims.full_cause("skin", cause, run_id="r", now=NOW)


def test_what_a_person_started_starts_no_cool_down_and_a_wrong_clock_hides_no_start(
    lake: Lake,
) -> None:
    hour = timedelta(hours=1)
    write_claim_of_before(lake, "run", "run/r1", "r1", NOW)
    write_claim_of_before(lake, "run", f"run/{NOW.isoformat()}", "", NOW)
    claim(lake, "r2", cause="run/run/r2", problem="run")
    assert claims.automatic_starts(lake, "run", other_than="") == []
    write_claim_of_before(lake, "run", "run/w/model-1/r", "r3", NOW - 2 * hour)
    claim(lake, "r4", cause="run/named/x", problem="run", now=NOW + timedelta(days=9))
    starts = claims.automatic_starts(lake, "run", other_than="")
    assert starts == [NOW - 2 * hour, NOW + timedelta(days=9)]
    assert claims.automatic_starts(lake, "run", other_than="run/named/x") == [NOW - 2 * hour]


def test_only_trainings_that_ended_without_a_decision_have_failed(lake: Lake) -> None:
    for number in range(2):
        claim(lake, f"r{number}")
        claims.release(lake, CAUSE, ValueError("x"), run_id=f"r{number}", now=NOW)
    claim(lake, "r2")
    assert claims.n_failed(lake, "brain", CAUSE) == 2
    assert claims.n_failed(lake, "brain", f"{CAUSE}/2") == 0
