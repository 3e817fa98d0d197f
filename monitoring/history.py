"""How far windows usually are from the reference: those of the past that were found harmless.

Groups that are dealt anew tell how far two parts of one period are apart. Weeks differ by more:
other rooms, other referrals, a reference that holds two scanners and weeks that hold one. So the
next window may be as far as one more of the same kind would be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

LEAST, MOST = 8, 26  # windows: fewer say nothing, and the last count
FARTHEST = 3.0  # thresholds of the deals: what is beyond is never usual
HARMLESS = ("steady", "look")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """windows: how many were harmless. limits: of each signal, in thresholds of the deals."""

    windows: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)


NOTHING_USUAL = Usual()


def distances(signals: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How far a window was, by each stored signal that says it, in thresholds of its deals."""
    return {
        each["name"]: each["statistic"] / each["dealt"] for each in signals if each.get("dealt")
    }


def usual(harmless: Sequence[Mapping[str, float]], chance: float) -> Usual:
    """The upper prediction limit for one more window, of the last of at least ``LEAST``.

    It is ``FARTHEST`` at most, and what was farther is not learnt: windows that each are a little
    farther than those before would else raise it without end.

    harmless: distances of windows apart from each other, the last first. chance: that a signal of
    one more such window is beyond its limit, if windows spread normally and know nothing of each
    other. (Hahn and Meeker, Statistical Intervals, 1991: mean + t s sqrt(1 + 1/n).)
    """
    last = [each for each in harmless if each][:MOST]
    if len(last) < LEAST:
        return NOTHING_USUAL
    limits = {}
    for name in {name for each in last for name in each}:
        known = np.array([each[name] for each in last if each.get(name, math.inf) <= FARTHEST])
        if len(known) >= LEAST:
            reach = stats.t.ppf(1 - chance, len(known) - 1) * math.sqrt(1 + 1 / len(known))
            limits[name] = min(float(known.mean() + reach * known.std(ddof=1)), FARTHEST)
    return Usual(windows=len(last), limits=limits)
