"""The test samples that decide: those of the first champion, until a person locks others.

A test that is looked at often wears out. What was delivered since has been looked at by nobody who
chose, so a person may lock it: from then on the gate asks the new samples alone.
"""

from dataclasses import dataclass

from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.promotion import serving

KIND = "lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedTest:
    """The test samples that a release has and an earlier one has not.

    after: that earlier one.
    """

    release: str
    after: str


def of_problem(lake: Lake, problem: str) -> LockedTest | None:
    """What a person locked last; None where nobody did."""
    found = [entry for entry in journal.entries(lake, KIND) if entry.body["problem"] == problem]
    if not found:
        return None
    body = found[-1].body
    return LockedTest(release=body["release"], after=body["after"])


def locked_release(lake: Lake, problem: str) -> str:
    """The release whose test decides: that locked last, or the first champion's; "" for none."""
    locked = of_problem(lake, problem)
    if locked is not None:
        return locked.release
    changed = serving.changes(lake, problem)
    return next((each.trained_on for each in changed if each.trained_on), "")
