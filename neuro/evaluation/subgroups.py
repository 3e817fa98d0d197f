"""On whom a model fails: its figures for each value of what is known of the samples.

A value is compared with all others by the difference in accuracy, whose spread is that of the
jackknife of groups, and no less than that of as many single answers; as many are compared, chances
are corrected for their number (Holm 1979).
"""

from collections.abc import Iterator, Mapping
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
_LEAST = 1e-12  # spread


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """The samples of one value of a column, and all others of known value, (n,) bool each.

    is_large: of FEWEST groups or more.
    """

    column: str
    value: str
    rows: NDArray[np.bool_]
    others: NDArray[np.bool_]
    is_large: bool


def parts(groups: NDArray[np.str_], columns: Mapping[str, NDArray[np.str_]]) -> Iterator[Part]:
    """Each value of each column, (n,) str, UNKNOWN where nothing is known; groups: (n,) str.

    Columns of one value, and of more than MOST_VALUES, are left out.
    """
    for column, values in columns.items():
        names = [str(name) for name in np.unique(values) if name != UNKNOWN]
        if not 2 <= len(names) <= MOST_VALUES:
            continue
        known = values != UNKNOWN
        for name in names:
            rows = values == name
            yield Part(
                column=column,
                value=name,
                rows=rows,
                others=known & ~rows,
                is_large=len(np.unique(groups[rows])) >= FEWEST,
            )


def compare(evaluation: Evaluation, columns: Mapping[str, NDArray[np.str_]]) -> Subgroups:
    """Subgroups of each column, (n,) str; see ``parts``."""
    all_parts = list(parts(evaluation.groups, columns))
    large = [part for part in all_parts if part.is_large]
    found = [_subgroup(evaluation, part) for part in large]
    return Subgroups(shown=tuple(_corrected(found)), hidden=len(all_parts) - len(large))


def _subgroup(evaluation: Evaluation, part: Part) -> Subgroup:
    rows, others = part.rows, part.others
    targets, groups = evaluation.targets[rows], evaluation.groups[rows]
    only = ("accuracy", "recall")
    accuracy, *recalls = metrics.score(
        evaluation.probabilities[rows],
        targets,
        groups,
        evaluation.classes,
        only,
        called=evaluation.called[rows],
    )
    difference = chance = None
    if len(np.unique(evaluation.groups[others])) >= FEWEST:
        difference, chance = _tested(evaluation.groups, rows, others, evaluation.is_right)
    return Subgroup(
        column=part.column,
        value=part.value,
        accuracy=accuracy,
        recalls=tuple(metric for metric in recalls if metric.groups >= FEWEST),
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
    difference, is_there = float(share[0] - share[1]), counts > 0
    if difference == 0:
        return 0.0, 1.0
    if is_there.all(axis=0).any():  # groups on both sides: what is between them cancels
        spread = intervals.jackknife_spread(without[0] - without[1])
    else:
        # A side without an error does not vary, which is no proof: it counts at least as if its
        # groups were single answers of the common share.
        common = hits.sum() / counts.sum()
        least = common * (1 - common) / is_there.sum(axis=1)
        own = [intervals.jackknife_spread(each) ** 2 for each in without]
        spread = float(np.sqrt(np.maximum(own, least).sum()))
    freedom = int(is_there.sum(axis=1).min()) - 1
    return difference, float(2 * student.sf(abs(difference) / max(spread, _LEAST), freedom))


def _corrected(found: list[Subgroup]) -> list[Subgroup]:
    """Chances times the number of comparisons that are left, the smallest first."""
    tested = [number for number, each in enumerate(found) if each.chance is not None]
    chances = np.array([found[number].chance for number in tested], dtype=np.float64)
    order = np.argsort(chances, kind="stable")
    times = np.arange(len(tested), 0, -1)
    raised = np.maximum.accumulate(chances[order] * times).clip(max=1.0)
    corrected = list(found)
    for place, chance in zip(order.tolist(), raised.tolist(), strict=True):
        corrected[tested[place]] = replace(found[tested[place]], chance=chance)
    return corrected
