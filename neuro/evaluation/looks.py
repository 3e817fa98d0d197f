"""How often the labels of a test set were read: each reading is counted, by whatever model.

A figure on test is honest as long as nothing was chosen by it. Whoever looks often chooses, also by
ever new models, so the count is of the test set and not of a model. A challenger that is tried is
allowed the less error, the more were tried before it: alpha spending, as of interim analyses (Lan
and DeMets 1983, doi:10.1093/biomet/70.3.659).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.dataset.frames import Frames
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.problems.problem import Problem

ERROR = 0.05  # one-sided, of all challengers that a test set judges
AS_REFERENCE = "as_reference"  # in the body of a look, whether the model was only compared with
_DIGITS = 16  # of a package, in looks of earlier versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """Readings so far, this one among them: of a test set, and those by this very package."""

    of_test_set: int
    of_model: int

    def __str__(self) -> str:
        return f"look {self.of_test_set} at this test set, {self.of_model} by this model"


@dataclass(frozen=True, kw_only=True, slots=True)
class LookBudget:
    """The number of a challenger on a test set, and how many the problem allows."""

    number: int = 1
    allowed: int = problems.TEST_LOOKS

    @property
    def tail(self) -> float:
        """One-sided error of this challenger's intervals; those of all numbers sum to ERROR."""
        return ERROR / (self.number * (self.number + 1))


def budget(
    entries: Iterable[Entry],
    problem: Problem,
    frames: Frames,
    *,
    package: str,
    release: str,
    served: Collection[str],
) -> LookBudget:
    """Count the challengers that looked at a test set, by package and release, this one included.

    entries: looks of the journal. package: the challenger's digest. release: on which it is judged.
    served: versions that served once; where an entry does not say whether it was a look as a
    reference, those of their packages were.
    """
    subject = test_set_name(problem, frames)
    looks = [
        entry.body
        for entry in _earlier(entries, problem, subject)
        if entry.body["problem"] == problem.name
    ]
    references = {_pair(body)[0] for body in looks if body["model"] in served}
    tried = {(package[:_DIGITS], release)}
    for body in looks:
        if not body.get(AS_REFERENCE, _pair(body)[0] in references):
            tried.add(_pair(body))
    return LookBudget(number=len(tried), allowed=problem.test_looks)


def _pair(body: Mapping[str, Any]) -> tuple[str, str]:
    """Package and release of a look."""
    if "package" in body:
        return body["package"][:_DIGITS], str(body.get("release", ""))
    package, _, release = str(body["subject"]).partition("/")
    return package, release


def test_set_name(problem: Problem, frames: Frames) -> str:
    """What is counted: the lake's own test split, which folds keep, or the one a source gives."""
    return f"{problem.dataset}/{'given' if frames.splitting.kind == 'given' else 'own'}"


def count(
    lake: Lake,
    problem: Problem,
    frames: Frames,
    *,
    package: str,
    body: Mapping[str, Any],
    now: datetime,
) -> Looks:
    """Record one more look. package: its digest. body: what else is told of it."""
    subject = test_set_name(problem, frames)
    known = list(_earlier(journal.entries(lake, "look"), problem, subject))
    told = {**body, "test_set": subject, "package": package, "problem": problem.name}
    number = len(known) + 1
    while not journal.record(lake, "look", f"{subject}/{number}", told, now):
        number += 1  # another looked at the same moment
    by_model = sum(_is_by(entry.body, package) for entry in known)
    return Looks(of_test_set=number, of_model=by_model + 1)


def _earlier(
    entries: Iterable[journal.Entry], problem: Problem, subject: str
) -> Iterable[journal.Entry]:
    """Those of a test set; what was counted by package and release was of the own test split."""
    for entry in entries:
        if "test_set" in entry.body:
            if entry.body["test_set"] == subject:
                yield entry
        elif entry.body.get("problem") == problem.name and subject.endswith("/own"):
            yield entry


def _is_by(body: Mapping[str, Any], package: str) -> bool:
    return bool(body.get("package", "") == package) or str(body.get("subject", "")).startswith(
        package[:16]
    )
