"""Once per cause: a retraining first claims what it is done for, and gives it back if it fails."""

from datetime import datetime

from neuro.lake import journal
from neuro.lake.lake import Lake

CLAIM, FAILED = "claim", "failed"  # kinds of journal entries
_BY_HAND = "run/"


def full_cause(cause: str | None, *, run_id: str, now: datetime) -> str:
    """A cause that is unique where it must be: a month, or the run that a person started.

    run_id: of this run, "" where no server knows it.
    """
    if cause == "monthly":
        return f"month/{now:%Y-%m}"
    return cause or f"{_BY_HAND}{run_id or now.isoformat()}"


def is_by_hand(cause: str) -> bool:
    """Whether a person started it, so that no envelope holds it back."""
    return cause.startswith(_BY_HAND)


def claim(lake: Lake, problem: str, cause: str, *, run_id: str, now: datetime) -> bool:
    """Whether this run may train for the cause: one run wins, unless an earlier winner failed."""
    body = {"cause": cause, "problem": problem, "flow_run_id": run_id}
    key = f"retrain/{cause}/{_failures(lake, cause)}"
    return journal.record(lake, CLAIM, key, body, now)


def release(lake: Lake, cause: str, error: BaseException, *, now: datetime) -> None:
    """Say that the training of a cause failed, so that another may try."""
    body = {"cause": cause, "error": f"{type(error).__name__}: {error}"[:500]}
    journal.record(lake, FAILED, f"{cause}/{_failures(lake, cause)}", body, now)


def last_automatic_start(lake: Lake, problem: str, *, other_than: str) -> datetime | None:
    """When a problem's training last started by itself, for another cause than this."""
    starts = [
        entry.at
        for entry in journal.entries(lake, CLAIM)
        if entry.body["problem"] == problem
        and entry.body["cause"] != other_than
        and not is_by_hand(entry.body["cause"])
    ]
    return max(starts, default=None)


def _failures(lake: Lake, cause: str) -> int:
    return sum(entry.body["cause"] == cause for entry in journal.entries(lake, FAILED))
