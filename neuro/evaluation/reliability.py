"""Whether probabilities mean what they say, and what is gained by not answering."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import estimates, intervals
from neuro.evaluation.evaluate import Evaluation

RISKS = (0.01, 0.02, 0.05, 0.10)  # shares wrong among the answered
FEW_TO_CALIBRATE = 200  # samples: with fewer a temperature is a guess

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Answers of like confidence. right: share of them, with its 95 % interval over groups."""

    confidence: float
    right: float
    low: float
    high: float
    n: int
    groups: int


def diagram(evaluation: Evaluation) -> list[Bin]:
    """The bins that hold answers, the least sure first; borders as of the calibration error."""
    sure, right = evaluation.confidence, evaluation.is_right
    bin_of = estimates.bins(sure)
    found = []
    for number in np.unique(bin_of):
        rows = bin_of == number
        share, groups = float(right[rows].mean()), evaluation.groups[rows]
        names, group_of = np.unique(groups, return_inverse=True)
        without = _share_without_each(right[rows], group_of.astype(np.int64), len(names))
        spread = intervals.jackknife_spread(without)
        low, high = intervals.of_share(share, spread, len(names))
        found.append(
            Bin(
                confidence=float(sure[rows].mean()),
                right=share,
                low=low,
                high=high,
                n=int(rows.sum()),
                groups=len(names),
            )
        )
    return found


def risk_coverage(evaluation: Evaluation) -> tuple[Floats, Floats]:
    """Share answered and share wrong among them, (m,) each, the surest answered first.

    Equally sure answers are given together (Geifman and El-Yaniv, arXiv:1705.08500).
    """
    sure, wrong = evaluation.confidence, ~evaluation.is_right
    order = np.argsort(-sure, kind="stable")
    answered = np.arange(1, len(sure) + 1)
    is_last = np.append(np.diff(sure[order]) != 0, True)
    risk: Floats = np.cumsum(wrong[order]) / answered
    return (answered / len(sure))[is_last], risk[is_last]


def answered_at(evaluation: Evaluation) -> dict[float, float]:
    """The largest share that can be answered with so many wrong among them, of each of RISKS.

    Read off these very answers: a bound for other images is what the conformal sets give.
    """
    answered, risk = risk_coverage(evaluation)
    return {most: float(answered[risk <= most].max(initial=0.0)) for most in RISKS}


def _share_without_each(
    right: NDArray[np.bool_], group_of: NDArray[np.int64], n_groups: int
) -> Floats:
    hits = np.bincount(group_of, right, minlength=n_groups)
    counts = np.bincount(group_of, minlength=n_groups)
    if n_groups < 2:
        return np.empty(0)
    without: Floats = (hits.sum() - hits) / (counts.sum() - counts)
    return without
