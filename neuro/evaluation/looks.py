"""How often the labels of a test set were read: each reading is counted, by whatever model.

A figure on test is honest as long as nothing was chosen by it. Whoever looks often chooses, also by
ever new models, so the count is of the test set and not of a model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.dataset.frames import Frames
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """Readings so far, this one among them: of a test set, and those by this very package."""

    of_test_set: int
    of_model: int

    def __str__(self) -> str:
        return f"look {self.of_test_set} at this test set, {self.of_model} by this model"


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
