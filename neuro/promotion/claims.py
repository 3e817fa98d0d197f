"""Once per cause: a retraining first claims what it is done for, and gives it back if it fails.

A claim is no lock: it is judged by what became of the flow run that made it. A run that ended
without a decision leaves its cause to the next that looks.

A cause is PROBLEM/KIND/WHAT: ``brain/run/ID`` is a person's own run, ``brain/month/2026-11`` the
monthly one, ``brain/verdict/...`` a stored verdict of drift, ``brain/named/...`` any other text.
Lakes of before hold ``month/2026-11`` and ``run/ID``, whose problem stands beside them.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from neuro.errors import ConfigError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake

CLAIM, FAILED = "claim", "failed"  # kinds of journal entries
_OF_RETRAIN = "retrain/"  # begins the key of a claim
HAND, MONTH, VERDICT, NAMED = "run", "month", "verdict", "named"  # kinds of causes
# How long a claim is believed whose run the server does not know: it may be another server's run.
BELIEVED = timedelta(days=1)

_CUT_OFF = "its flow run ended without a decision"

# Of a flow run. One that a person cancelled leaves its cause to whom a person starts.
RunState = Literal["open", "completed", "broken off", "cancelled", "unknown"]
LookUp = Callable[[str], RunState]  # by the flow run's id

_MONTH_OF_BEFORE = re.compile(r"month/\d{4}-\d\d")
_OF_A_PROBLEM = re.compile(
    rf"([a-z0-9_]+)/(?:(?:{HAND}|{MONTH}|{VERDICT}|{NAMED})/.+|.+/model-[^/]+/[^/]+)"
)


def full_cause(problem: str, cause: str | None, *, run_id: str, now: datetime) -> str:
    """A cause that names its problem and kind.

    cause: None for a run that a person started, "monthly", or any text. run_id: of this run, ""
    where no server knows it. Raises ConfigError for a cause of another problem.
    """
    text = (cause or "").strip()
    if not text:
        return f"{problem}/{HAND}/{run_id or now.isoformat()}"
    if text.lower() == "monthly":
        return f"{problem}/{MONTH}/{now:%Y-%m}"
    if _MONTH_OF_BEFORE.fullmatch(text):
        return f"{problem}/{text}"
    named = _OF_A_PROBLEM.fullmatch(text)
    if named and named[1] != problem:
        raise ConfigError(
            f"cause {text!r} is of problem {named[1]}, and this is a retraining of {problem}; "
            f"give --problem {named[1]}, or a cause of {problem}"
        )
    if named and not is_by_hand(problem, text):
        return text
    return f"{problem}/{NAMED}/{text.removeprefix(f'{problem}/')}"


def verdict_cause(problem: str, window: str, model: str, release: str) -> str:
    """The cause of the first verdict on a window; that of others ends with their number."""
    return f"{problem}/{VERDICT}/{window}/model-{model[:16]}/{release}"


def is_by_hand(problem: str, cause: str) -> bool:
    """Whether a person started it, so that no envelope holds it back."""
    return cause.startswith(f"{problem}/{HAND}/")


def claim(
    lake: Lake, problem: str, cause: str, *, run_id: str, now: datetime, look_up: LookUp
) -> bool:
    """Whether this run may train for the cause: one run wins, and no cause is lost with its run.

    A claim whose run ended without a decision is taken over; a run that is started again keeps its
    own.
    """
    if cause in _decided(lake, problem):
        return False
    earlier = [entry for entry in _claims(lake, problem) if cause_of(entry) == cause]
    for standing in _standing(lake, earlier):
        if run_id and standing.body["flow_run_id"] == run_id:
            return True
        if not _is_left(standing, now, look_up):
            return False
        _give_back(lake, standing, _CUT_OFF, now)
    body = {"cause": cause, "problem": problem, "flow_run_id": run_id}
    # Who read the same claims has the same number, and one of them is the first to write it.
    return journal.record(lake, CLAIM, f"{_OF_RETRAIN}{cause}/{len(earlier)}", body, now)


def release(lake: Lake, cause: str, error: BaseException, *, run_id: str, now: datetime) -> None:
    """Say that this run's training of a cause failed, so that another may try."""
    for entry in journal.entries(lake, CLAIM):
        if cause_of(entry) == cause and entry.body["flow_run_id"] == run_id:
            _give_back(lake, entry, f"{type(error).__name__}: {error}", now)


def open_causes(
    lake: Lake, problem: str, causes: Sequence[str], *, now: datetime, look_up: LookUp
) -> list[str]:
    """Those of a problem's causes that another run may begin by itself.

    Nobody works on them, they led to no decision, and no person cancelled the last run for them.
    """
    decided, mine = _decided(lake, problem), _claims(lake, problem)
    last = {cause_of(entry): entry for entry in mine}
    standing = {cause_of(entry): entry for entry in _standing(lake, mine)}
    return [
        cause
        for cause in causes
        if cause not in decided
        and (cause not in standing or _is_left(standing[cause], now, look_up))
        and (cause not in last or look_up(last[cause].body["flow_run_id"]) != "cancelled")
    ]


def automatic_starts(lake: Lake, problem: str, *, other_than: str) -> list[datetime]:
    """When each of a problem's trainings started by itself, for another cause than this."""
    return [
        entry.at
        for entry in _claims(lake, problem)
        if cause_of(entry) != other_than and not _was_by_hand(entry)
    ]


def begun_by_itself(lake: Lake, problem: str, now: datetime) -> list[str]:
    """This month's cause of a problem, where a training for it was begun; else nothing.

    A stored verdict says for itself whether it still asks for one, and what had a name was begun
    with parameters that only who began it knows.
    """
    month = full_cause(problem, "monthly", run_id="", now=now)
    return [month] if any(cause_of(entry) == month for entry in _claims(lake, problem)) else []


def last_failure(lake: Lake, problem: str, cause: str) -> datetime | None:
    """When a training for a cause last failed by an error of its own; None where none did.

    Not when its run was cut off: that says nothing about the next one.
    """
    failures = [
        entry.at
        for entry in journal.entries(lake, FAILED)
        if entry.body["problem"] == problem
        and cause_of(entry) == cause
        and entry.body["error"] != _CUT_OFF
    ]
    return max(failures, default=None)


def n_failed(lake: Lake, problem: str, cause: str) -> int:
    """How many trainings for a cause ended without a decision."""
    mine = [entry for entry in _claims(lake, problem) if cause_of(entry) == cause]
    return len(mine) - len(_standing(lake, mine))


def _claims(lake: Lake, problem: str) -> list[Entry]:
    return [entry for entry in journal.entries(lake, CLAIM) if entry.body["problem"] == problem]


def _standing(lake: Lake, claims: Sequence[Entry]) -> list[Entry]:
    """Those that were not given back. To be read after the claims, or a new one looks alone."""
    given_back = {entry.key for entry in journal.entries(lake, FAILED)}
    return [entry for entry in claims if f"{FAILED}/{number_of(entry)}" not in given_back]


def _decided(lake: Lake, problem: str) -> set[str]:
    """The causes of a problem that led to a decision, however their run ended."""
    decisions = journal.entries(lake, "decision")
    return {cause_of(entry) for entry in decisions if entry.body["problem"] == problem}


def _is_left(claim: Entry, now: datetime, look_up: LookUp) -> bool:
    """Whether the run of a claim ended before its work did."""
    state = look_up(claim.body["flow_run_id"])
    if state == "unknown":
        return abs(now - claim.at) > BELIEVED
    return state in ("broken off", "cancelled")


def _give_back(lake: Lake, claim: Entry, why: str, now: datetime) -> None:
    body = {"cause": cause_of(claim), "problem": claim.body["problem"], "error": why[:500]}
    journal.record(lake, FAILED, number_of(claim), body, now)


def number_of(claim: Entry) -> str:
    """The cause and which claim of it this is, as in its key."""
    return claim.key.removeprefix(f"{CLAIM}/{_OF_RETRAIN}")


def cause_of(entry: Entry) -> str:
    """The cause of an entry, with the problem that a month of before did not name."""
    cause = str(entry.body.get("cause", ""))
    is_bare = _MONTH_OF_BEFORE.fullmatch(cause)
    return f"{entry.body['problem']}/{cause}" if is_bare else cause


def _was_by_hand(claim: Entry) -> bool:
    """By the cause of today, or by that of before: the run alone."""
    cause, run_id = claim.body["cause"], claim.body["flow_run_id"]
    of_before = re.escape(run_id) if run_id else r"\d{4}-\d\d-\d\dT[^/]*"
    is_of_before = re.fullmatch(f"{HAND}/{of_before}", cause) is not None
    return is_by_hand(claim.body["problem"], cause) or is_of_before
