"""Agreement of two who called the same images: Cohen's kappa with its interval by group.

J. Cohen, Educational and Psychological Measurement 20, 1960: the share of agreement beyond what the
two would reach by chance, each with the frequencies of the own calls. The interval is that of the
jackknife that leaves out whole groups, as of every figure here (``intervals``); where the two never
differ, it is that of the share of agreement by Clopper and Pearson.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from neuro.errors import ConfigError
from neuro.evaluation import intervals
from neuro.evaluation.metrics import FEWEST_GROUPS
from neuro.sample import FEW_GROUPS, Metric

NAME = "kappa"
Ints = NDArray[np.int64]


def cohen(first: Sequence[str], second: Sequence[str], groups: Sequence[str]) -> Metric | None:
    """Kappa of two sequences of labels about the same n images; None for no image.

    1 is agreement, 0 what chance gives. Where both call everything the same one class there is
    nothing to agree beyond, and it is 1. Raises ConfigError for sequences of other lengths.
    """
    if not len(first) == len(second) == len(groups):
        raise ConfigError(
            f"{len(first)}, {len(second)} and {len(groups)} calls are not of the same"
        )
    if not first:
        return None
    names, called = np.unique([*first, *second], return_inverse=True)
    pairs = called[: len(first)] * len(names) + called[len(first) :]
    _, group = np.unique(np.array(groups, np.str_), return_inverse=True)
    n_groups = int(group.max()) + 1
    block = intervals.blocks(n_groups)[group]
    counts = np.zeros((int(block.max()) + 1, len(names) ** 2))
    np.add.at(counts, (block, pairs), 1)
    tables = counts.reshape(-1, len(names), len(names))
    whole = tables.sum(axis=0)
    value = float(_kappa(whole[None])[0])
    low, high = _interval(value, whole, _kappa(whole[None] - tables), n_groups)
    mark = FEW_GROUPS if n_groups < FEWEST_GROUPS else ""
    return Metric(
        name=NAME, value=value, low=low, high=high, n=len(first), groups=n_groups, mark=mark
    )


def _kappa(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of (m, k, k) counts of pairs, (m,); NaN of an empty table."""
    n = tables.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = np.trace(tables, axis1=1, axis2=2) / n
        by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
        beyond = (agreed - by_chance) / (1 - by_chance)
    result: NDArray[np.float64] = np.where(agreed == 1, 1.0, beyond)
    result[n == 0] = np.nan
    return result


def _interval(
    value: float, whole: NDArray[np.float64], without: NDArray[np.float64], n_groups: int
) -> tuple[float, float]:
    spread = intervals.jackknife_spread(without)
    if value == 1 or n_groups < 2 or spread == 0:
        n = whole.sum()
        agreed = float(np.trace(whole) / n)
        by_chance = float((whole.sum(axis=0) * whole.sum(axis=1)).sum() / n**2)
        ends = intervals.of_share(agreed, 0.0, n_groups)
        if by_chance == 1:
            return float(ends.low), 1.0
        low, high = ((end - by_chance) / (1 - by_chance) for end in ends)
        return max(-1.0, min(low, value)), max(min(high, 1.0), value)
    half = float(student.ppf(1 - intervals.TAIL, n_groups - 1)) * spread
    return max(-1.0, value - half), min(1.0, value + half)
