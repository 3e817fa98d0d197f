"""Two ways to do one thing, on the same units: the difference, and whether it is beyond doubt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring import permutation

REDRAWS = 500
_TAILS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """How well a way does. scores: (n,), of each unit. cpu_s: for the vectors of 1,000 images."""

    way: str
    scores: NDArray[np.float64]
    cpu_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the table. low, high: of the difference, 95 % of redraws of groups of units."""

    task: str
    data: str
    now: Scored
    new: Scored
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of the new way, by the interval alone."""
        if self.low > 0:
            return "wins"
        return "loses" if self.high < 0 else "as good"


def compare(task: str, data: str, now: Scored, new: Scored, groups: NDArray[np.str_]) -> Row:
    """The difference of two ways' mean scores of units, (n,) each, that lie in groups, (n,)."""
    weights = permutation.redraw(groups, trials=REDRAWS, rng=np.random.default_rng(0))
    drawn = weights @ (new.scores - now.scores) / weights.sum(axis=1)
    low, high = np.quantile(drawn, _TAILS)
    return Row(task=task, data=data, now=now, new=new, low=float(low), high=float(high))
