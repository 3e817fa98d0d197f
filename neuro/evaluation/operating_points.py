"""From which confidence on to answer, so that a risk holds on other images of the same kind.

Learn then test (Angelopoulos et al., arXiv:2110.01052): confidences are tried from the highest
down, each with an exact binomial test on images that were kept back, and the last that passes is
the operating point; several searches share the error. Groups are counted, not images: a group is
wrong where one of its answers is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from neuro.evaluation.evaluate import Answers

RISKS = (0.02, 0.05, 0.10)  # share of the answered groups with a wrong answer
DELTA = 0.1  # chance that the risk does not hold after all
_STARTS = (0, 2, 6)  # errors that a search can bear at its first confidence
_STEPS = 50  # confidences that are tried

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """The least confidence at which a risk holds, and what came of it on the images scored.

    name: of the class whose images must not be missed, "" for all images. confidence: None where no
    confidence is known to hold the risk, as with few groups. groups: that it was set on. answered:
    share of the scored groups with an answer, wrong: share of these with a wrong one; None where
    there are none.
    """

    name: str
    risk: float
    confidence: float | None
    groups: int
    answered: float | None = None
    wrong: float | None = None


def find(kept_back: Answers, scored: Answers, critical: Sequence[str] = ()) -> list[OperatingPoint]:
    """Points for all images, and for those of each safety-critical class, at each of RISKS.

    kept_back: answers to the calibration split. scored: to the images that are evaluated.
    """
    return [_point(kept_back, scored, name, risk) for name in ("", *critical) for risk in RISKS]


def _point(kept_back: Answers, scored: Answers, name: str, risk: float) -> OperatingPoint:
    rows, asked = (_rows(answers, name) for answers in (kept_back, scored))
    confidence = least_confidence(
        kept_back.confidence[rows], ~kept_back.is_right[rows], kept_back.groups[rows], risk
    )
    groups = len(np.unique(kept_back.groups[rows]))
    if confidence is None or not len(asked):
        return OperatingPoint(name=name, risk=risk, confidence=confidence, groups=groups)
    groups_of = scored.groups[asked]
    is_answered = scored.confidence[asked] >= confidence
    is_wrong = is_answered & ~scored.is_right[asked]
    n_answered = len(np.unique(groups_of[is_answered]))
    return OperatingPoint(
        name=name,
        risk=risk,
        confidence=confidence,
        groups=groups,
        answered=n_answered / len(np.unique(groups_of)),
        wrong=len(np.unique(groups_of[is_wrong])) / n_answered if n_answered else None,
    )


def least_confidence(
    confidence: Floats, is_wrong: NDArray[np.bool_], groups: NDArray[np.str_], risk: float
) -> float | None:
    """The least confidence from which on at most this share of groups is wrong, by the tests.

    confidence, is_wrong, groups: (n,). None where no answers pass. One error among the first few
    must not end the search, so that there are several, which share the chance of being wrong.
    """
    if not len(confidence):
        return None
    tried = np.unique(np.quantile(confidence, np.linspace(0, 1, _STEPS + 1)))[::-1]
    counts = [_count(confidence >= least, is_wrong, groups) for least in tried]
    found = [
        least
        for n_errors in _STARTS
        if (least := _search(tried, counts, n_errors, risk)) is not None
    ]
    return min(found, default=None)


def _search(
    tried: Floats, counts: Sequence[tuple[int, int]], n_errors: int, risk: float
) -> float | None:
    """The last confidence that passes, from the first with groups enough for so many errors.

    tried: from the highest down. counts: groups answered at each, and answered wrongly.
    """
    level, found = DELTA / len(_STARTS), None
    for least, (n, n_wrong) in zip(tried.tolist(), counts, strict=True):
        if binom.cdf(n_errors, n, risk) > level:
            continue
        if binom.cdf(n_wrong, n, risk) > level:
            break
        found = least
    return found


def _count(
    is_answered: NDArray[np.bool_], is_wrong: NDArray[np.bool_], groups: NDArray[np.str_]
) -> tuple[int, int]:
    n_wrong = len(np.unique(groups[is_answered & is_wrong]))
    return len(np.unique(groups[is_answered])), n_wrong


def _rows(answers: Answers, name: str) -> NDArray[np.int64]:
    if not name:
        return np.arange(len(answers.targets))
    return np.flatnonzero(answers.targets == answers.classes.index(name))
