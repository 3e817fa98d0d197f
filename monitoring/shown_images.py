"""Which images a report shows: typical ones of before and of now, and the strangest of the window.

Typical by the figure that moved most: those that lie nearest to its median, one of a group.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring import audit_sample, permutation
from monitoring.windows import Observed
from neuro.features import descriptors

MOST = 8  # images of each kind

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """Row numbers of the reference and of the window, each at most MOST. figure: by its name."""

    figure: str
    before: Rows
    now: Rows
    unusual: Rows


def choose(reference: Observed, window: Observed) -> Shown:
    """Both have at least one image each."""
    values = np.concatenate((reference.descriptors, window.descriptors))
    gaps = permutation.largest_gap(values, permutation.sides(reference.n, window.n))[0]
    most = int(gaps.argmax())
    strange = audit_sample.unusualness(reference.descriptors, window.descriptors)
    return Shown(
        figure=descriptors.NAMES[most],
        before=_nearest_to_median(reference, most),
        now=_nearest_to_median(window, most),
        unusual=_one_of_each(np.argsort(-strange, kind="stable"), window),
    )


def _nearest_to_median(side: Observed, column: int) -> Rows:
    values = side.descriptors[:, column]
    return _one_of_each(np.argsort(np.abs(values - np.median(values)), kind="stable"), side)


def _one_of_each(rows: Iterable[int], side: Observed) -> Rows:
    """The first rows that are of different groups."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(str(side.groups[row]), int(row))
        if len(first) == MOST:
            break
    return np.array([*first.values()], np.int64)
