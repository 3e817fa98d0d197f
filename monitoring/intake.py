"""Whether as many images came as usual, and as few files were refused, by harmless windows before.

What is counted of a window is one figure, and no dealing of its images tells how it varies: only
other windows do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from monitoring.history import LEAST, MOST
from monitoring.signals import INTAKE, Signal
from neuro.promotion.drift_policy import DriftPolicy

_HALF = 0.5  # of an image, so that none has a logarithm
_TAILS = 3  # fewer images, more images, more refused: each has a third of the chance


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """What came in some days. images: answered. refused: files that went to quarantine."""

    days: float
    images: int
    refused: int

    @property
    def per_day(self) -> float:
        """Images a day."""
        return self.images / self.days

    @property
    def share(self) -> float:
        """Of the files, refused."""
        return self.refused / max(1, self.images + self.refused)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What came in a harmless window before, and whether that was unusual then."""

    came: Intake
    was_unusual: bool


def learnt(before: Sequence[Counted]) -> list[Intake]:
    """What the counts of a window are compared with; before and result: the last first.

    One unusual week teaches nothing; ``LEAST`` of them in a row are what is usual now.
    """
    new = before[:LEAST]
    if len(new) == LEAST and all(each.was_unusual for each in new):
        return [each.came for each in new]
    return [each.came for each in before if not each.was_unusual]


def signal(now: Intake, harmless: Sequence[Intake], policy: DriftPolicy) -> Signal | None:
    """How far the counts of a window are from those of harmless windows before, the last first.

    harmless: as ``learnt`` chooses them. Of the logarithm of images a day, and of the arcsine of
    the root of the share refused: distance from the mean of at most ``MOST`` windows, in deviations
    of one more such window, which are at least those of independent counts. The threshold is
    Student's. None for under ``LEAST`` windows.
    """
    before = harmless[:MOST]
    if len(before) < LEAST:
        return None
    expected = float(np.mean([each.per_day for each in before])) * now.days
    files = min(expected, now.images + now.refused)
    images = _deviations(now, before, _log_per_day, 1 / math.sqrt(expected + _HALF))
    refused = _deviations(now, before, _root_share, 1 / math.sqrt(4 * (files + _HALF)))
    threshold = float(stats.t.ppf(1 - policy.chance / _TAILS, len(before) - 1))
    statistic = max(abs(images), refused)
    rates = [each.per_day for each in before]
    shares = [each.share for each in before]
    return Signal(
        name=INTAKE,
        statistic=statistic,
        threshold=threshold,
        false_alarm_rate=policy.chance,
        alarm=statistic > threshold,
        explanation=f"{now.per_day:.1f} images a day, in {len(before)} harmless windows before "
        f"{min(rates):.1f} to {max(rates):.1f}; {now.share:.1%} of the files refused, before "
        f"{min(shares):.1%} to {max(shares):.1%}",
    )


def _log_per_day(came: Intake) -> float:
    return math.log((came.images + _HALF) / came.days)


def _root_share(came: Intake) -> float:
    return math.asin(math.sqrt(came.share))


def _deviations(
    now: Intake, before: Sequence[Intake], figure: Callable[[Intake], float], floor: float
) -> float:
    known = np.array([figure(each) for each in before])
    spread = max(float(known.std(ddof=1)), floor) * math.sqrt(1 + 1 / len(known))
    return float((figure(now) - known.mean()) / spread)
