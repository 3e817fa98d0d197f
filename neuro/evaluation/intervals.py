"""95 % intervals of figures over groups (patients, lesions) whose samples resemble each other.

The spread is that of the jackknife that leaves out whole groups; the interval is symmetric on the
logit of a share, or on the logarithm of a loss, with Student's t of the groups that the figure
stands on: those of its rarest class. What this covers in simulations beside the percentiles of a
bootstrap: ``python -m bench intervals`` and docs/evaluation.md. Where no group disagrees (one
group, or not one error) the spread cannot show what was not seen, and the interval is that of
Clopper and Pearson (1934) for that many groups.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student

TAIL = 0.025  # each side
BLOCKS = 400  # left out in turn, at most: more groups are dealt out among so many, by seed
SEED = 0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Interval(NamedTuple):
    """Its two ends."""

    low: float
    high: float


def blocks(n_groups: int) -> Ints:
    """The block in which each group is left out, (g,)."""
    if n_groups <= BLOCKS:
        return np.arange(n_groups)
    dealt = np.arange(n_groups) % BLOCKS
    return np.random.default_rng(SEED).permutation(dealt).astype(np.int64)


def jackknife_spread(without: Floats) -> float:
    """Standard error of a figure from what it is without each block in turn, (m,); 0 for one."""
    known = without[np.isfinite(without)]
    if len(known) < 2:
        return 0.0
    return float(np.sqrt((len(known) - 1) * known.var()))


def of_share(value: float, spread: float, groups: int) -> Interval:
    """Of a figure from 0 to 1."""
    if not 0 < value < 1 or spread < _NONE or groups < 2:
        return _clopper_pearson(value, groups)
    half = student.ppf(1 - TAIL, groups - 1) * spread / (value * (1 - value))
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    return Interval(min(float(low), value), max(float(high), value))


def of_loss(value: float, spread: float, groups: int, *, most: float) -> Interval:
    """Of a figure from 0 to ``most``.

    Where nothing varies, or of one group, it is that of the share of ``most``; of a loss without a
    bound, the value alone, for nothing more is known.
    """
    if value <= 0 or spread < _NONE or groups < 2:
        if not np.isfinite(most):
            return Interval(value, value)
        low, high = _clopper_pearson(value / most, groups)
        return Interval(most * low, most * high)
    # Beyond e^30 times its value nothing is known of it.
    half = min(30.0, student.ppf(1 - TAIL, groups - 1) * spread / value)
    return Interval(float(value * np.exp(-half)), min(most, float(value * np.exp(half))))


def of_mean(value: float, spread: float, groups: int, tail: float = TAIL) -> Interval:
    """Of a mean without bounds; the value alone where nothing is known of its spread."""
    slack = float(student.ppf(1 - tail, groups - 1) * spread) if groups > 1 else 0.0
    return Interval(value - slack, value + slack)


def of_difference(
    value: float, spread: float, stands_on: int, groups: int, tail: float = TAIL
) -> Interval:
    """Of a difference of two shares, -1 to 1; it misses the truth by ``tail`` on each side.

    stands_on: groups of the rarest class; groups: all of them, one at least. They count where
    nothing differs, so that two equal models are not told apart, and where one group is too few to
    say how far t reaches.
    """
    if spread < _NONE:
        slack = 1 - tail ** (1 / groups)
    else:
        freedom = (stands_on if stands_on > 1 else max(groups, 2)) - 1
        slack = float(student.ppf(1 - tail, freedom) * spread)
    return Interval(max(-1.0, value - slack), min(1.0, value + slack))


_NONE = 1e-12


def _clopper_pearson(value: float, groups: int) -> Interval:
    """As if each group were one answer."""
    right, wrong = value * groups, (1 - value) * groups
    low = beta.ppf(TAIL, right, wrong + 1) if right > 0 else 0.0
    high = beta.ppf(1 - TAIL, right + 1, wrong) if wrong > 0 else 1.0
    return Interval(min(float(low), value), max(float(high), value))
