"""On whom a model fails: its figures for each value of what is known of the samples.

A value is compared with all others by the difference in accuracy, whose spread is that of the
jackknife of groups; as many are compared, chances are corrected for their number (Holm 1979).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from neuro.evaluation import intervals, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.sample import Metric

FEWEST = metrics.FEWEST_GROUPS  # groups: a value of fewer is not shown
MOST_VALUES = 12  # of a column: more are no subgroups but names
DIFFERS = 0.05

UNKNOWN = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subgroup:
    """The samples of one value of a column. recalls: of the classes with FEWEST groups in it.

    difference: its accuracy less that of all others of known value; chance: of so large a
    difference where there is none, corrected; None where the others are too few.
    """

    column: str
    value: str
    accuracy: Metric
    recalls: tuple[Metric, ...]
    difference: float | None
    chance: float | None

    @property
    def differs(self) -> bool:
        """Whether the difference is more than chance."""
        return self.chance is not None and self.chance < DIFFERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Subgroups:
    """Those that can be shown, by column and value, and how many values are hidden."""

    shown: tuple[Subgroup, ...]
    hidden: int


def compare(evaluation: Evaluation, columns: Mapping[str, NDArray[np.str_]]) -> Subgroups:
    """Subgroups of each column, (n,) str, UNKNOWN where nothing is known.

    Columns of one value, and of more than MOST_VALUES, are left out.
    """
    found: list[Subgroup] = []
    hidden = 0
    right = evaluation.probabilities.argmax(axis=1) == evaluation.targets
    for column, values in columns.items():
        names = [str(name) for name in np.unique(values) if name != UNKNOWN]
        if not 2 <= len(names) <= MOST_VALUES:
            continue
        known = values != UNKNOWN
        for name in names:
            rows = values == name
            if len(np.unique(evaluation.groups[rows])) < FEWEST:
                hidden += 1
                continue
            found.append(_subgroup(evaluation, column, name, rows, known & ~rows, right))
    return Subgroups(shown=tuple(_corrected(found)), hidden=hidden)


def _subgroup(
    evaluation: Evaluation,
    column: str,
    value: str,
    rows: NDArray[np.bool_],
    others: NDArray[np.bool_],
    right: NDArray[np.bool_],
) -> Subgroup:
    targets, groups = evaluation.targets[rows], evaluation.groups[rows]
    scores = metrics.score(
        evaluation.probabilities[rows], targets, groups, evaluation.classes, ("accuracy", "recall")
    )
    difference = chance = None
    if len(np.unique(evaluation.groups[others])) >= FEWEST:
        difference, chance = _tested(evaluation.groups, rows, others, right)
    return Subgroup(
        column=column,
        value=value,
        accuracy=scores[0],
        recalls=tuple(m for m in scores[1:] if m.groups >= FEWEST),
        difference=difference,
        chance=chance,
    )


def _tested(
    groups: NDArray[np.str_],
    rows: NDArray[np.bool_],
    others: NDArray[np.bool_],
    right: NDArray[np.bool_],
) -> tuple[float, float]:
    """The difference in accuracy, and the chance of so large a one, two-sided."""
    asked = rows | others
    names, group_of = np.unique(groups[asked], return_inverse=True)
    hits, counts = np.empty((2, len(names))), np.empty((2, len(names)))
    for number, side in enumerate((rows[asked], others[asked])):
        hits[number] = np.bincount(group_of, side & right[asked], minlength=len(names))
        counts[number] = np.bincount(group_of, side, minlength=len(names))
    share = hits.sum(axis=1) / counts.sum(axis=1)
    without = (hits.sum(axis=1)[:, None] - hits) / (counts.sum(axis=1)[:, None] - counts)
    difference = float(share[0] - share[1])
    spread = intervals.jackknife_spread(without[0] - without[1])
    if spread < 1e-12:
        return difference, 1.0  # neither side has an error, or nothing but errors
    freedom = int((counts > 0).sum(axis=1).min()) - 1
    return difference, float(2 * student.sf(abs(difference) / spread, freedom))


def _corrected(found: list[Subgroup]) -> list[Subgroup]:
    """Chances times the number of comparisons that are left, the smallest first."""
    tested = sorted(
        (number for number, each in enumerate(found) if each.chance is not None),
        key=lambda number: found[number].chance or 0.0,
    )
    largest, corrected = 0.0, list(found)
    for place, number in enumerate(tested):
        largest = max(largest, min(1.0, (found[number].chance or 0.0) * (len(tested) - place)))
        corrected[number] = replace(found[number], chance=largest)
    return corrected
