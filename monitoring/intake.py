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

_TAILS = 3  # fewer images, more images, more refused: each has a third of the chance


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """What came in a window. images: answered. refused: files that went to quarantine."""

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
        return self.refused / (self.images + self.refused)


def signal(now: Intake, harmless: Sequence[Intake], policy: DriftPolicy) -> Signal | None:
    """How far the counts of a window are from those of harmless windows before, the last first.

    Of the logarithm of images a day, and of the arcsine of the root of the share refused: distance
    from the mean of at most ``MOST`` windows, in deviations of one more such window, which are at
    least those of independent counts. The threshold is Student's. None for under ``LEAST`` windows.
    """
    before = harmless[:MOST]
    if len(before) < LEAST:
        return None
    floor = math.sqrt(1 / min(each.images for each in (*before, now)))
    images = _deviations(now, before, lambda each: math.log(each.per_day), floor)
    refused = _deviations(now, before, lambda each: math.asin(math.sqrt(each.share)), floor / 2)
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


def _deviations(
    now: Intake, before: Sequence[Intake], figure: Callable[[Intake], float], floor: float
) -> float:
    known = np.array([figure(each) for each in before])
    spread = max(float(known.std(ddof=1)), floor) * math.sqrt(1 + 1 / len(known))
    return float((figure(now) - known.mean()) / spread)
