"""How many labelled groups the proof that a challenger is no worse takes."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from neuro.evaluation import intervals
from neuro.evaluation.metrics import PairedDifference

# So that 0.8 of such challengers are promoted, 0.9 must pass the gate whose groups are counted: the
# spread it stands on is itself an estimate, and the other gates ask, too (python -m bench gate).
_POWER = 0.9
BETTER = 0.03  # in the figure
MOST = 2**40  # groups: beyond it nothing is said
_NONE = 1e-12  # spread


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupsNeeded:
    """How many are there, and how many it takes of an equal challenger or of a better one.

    Of groups with the same sizes and shares of classes; promoted in about 80 of 100 cases.
    """

    there: int
    equal: int
    better_by_3_points: int


def of(difference: PairedDifference, margin: float, tail: float) -> GroupsNeeded:
    """By the spread of a difference that was seen.

    margin: loss that still counts as no worse. tail: one-sided error of the proof.
    """
    return GroupsNeeded(
        there=difference.groups,
        equal=_fewest(difference, margin, tail),
        better_by_3_points=_fewest(difference, margin + BETTER, tail),
    )


def of_floor(floor: float) -> int:
    """Groups of a class with which a recall halfway from its floor to 1 is shown one time of two.

    By the normal approximation for one proportion: Fleiss, Levin and Paik (2003), Statistical
    Methods for Rates and Proportions, chapter 2. MOST for a floor of 1, which nothing is above.
    """
    truth = (1 + floor) / 2
    if truth <= floor:
        return MOST
    reach = ndtri(1 - intervals.TAIL) * np.sqrt(truth * (1 - truth))
    return int(np.ceil((reach / (truth - floor)) ** 2))


def _fewest(difference: PairedDifference, distance: float, tail: float) -> int:
    """The fewest groups with which a true value so far from the threshold is proven."""
    enough = 2
    while enough < MOST and not _is_enough(difference, distance, tail, enough):
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if _is_enough(difference, distance, tail, middle):
            enough = middle
        else:
            too_few = middle
    return enough


def _is_enough(difference: PairedDifference, distance: float, tail: float, groups: int) -> bool:
    if difference.spread < _NONE:  # as ``intervals.of_difference`` has it
        return bool(1 - tail ** (1 / groups) < distance)
    spread = difference.spread * np.sqrt(difference.groups / groups)
    stand_on = round(groups * difference.stands_on / difference.groups)
    freedom = max(stand_on, 2) - 1
    reach = stdtrit(freedom, 1 - tail) + stdtrit(freedom, _POWER)
    return bool(reach * spread < distance)
