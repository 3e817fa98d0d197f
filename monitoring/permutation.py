"""What two periods with no shift between them look like: their whole groups, dealt out anew.

A window of few patients looks shifted when nothing is, so thresholds cannot come from a table for
independent images. Each trial deals the groups of both sides out again at random: without a shift
the real comparison is one such deal (Pitman's permutation test, by cluster). Pseudo-windows drawn
with replacement from the reference alone were tried in simulation: where errors are rare or groups
are few, their confidence and accuracy thresholds alarm two to six times as often as asked. A trial
is two rows of weights over all samples, so that every trial is scored at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Weights = NDArray[np.float64]

_CHUNK_CELLS = 1_000_000  # trials x samples held at a time: 8 MB a table


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Reference and window of t trials: how often each of n samples stands in either, (t, n)."""

    reference: Weights
    window: Weights

    @property
    def excess(self) -> Weights:
        """Each sample's share of the reference minus its share of the window, (t, n)."""
        return _shares(self.reference) - _shares(self.window)


def sides(n_reference: int, n_window: int) -> Pair:
    """The real comparison as one trial over the reference's rows followed by the window's."""
    window: Weights = np.zeros((1, n_reference + n_window))
    window[:, n_reference:] = 1
    return Pair(reference=1 - window, window=window)


def deal(
    reference: NDArray[np.str_], window: NDArray[np.str_], *, trials: int, rng: Generator
) -> Iterator[Pair]:
    """Trials without a shift over the same rows as ``sides``, in chunks that fit the memory.

    reference, window: (n,) str groups. Each side keeps the number and the sizes of its groups: the
    groups dealt to it fill its places in order of size. A group in a place too small for it gives
    some of its samples; in a place too large it repeats them, as if more of it were no news.
    """
    codes, counts, n_reference = _blocks(reference, window)
    members = rng.permutation(len(codes))
    members = members[np.argsort(codes[members], kind="stable")]
    first = np.cumsum(counts) - counts
    halves = np.split(counts, [n_reference])
    step = max(1, _CHUNK_CELLS // len(codes))
    for start in range(0, trials, step):
        order = np.tile(np.arange(len(counts)), (min(step, trials - start), 1))
        dealt = np.split(rng.permuted(order, axis=1), [n_reference], axis=1)
        filled = []
        for picked, places in zip(dealt, halves, strict=True):
            picked = np.take_along_axis(picked, np.argsort(counts[picked], axis=1), axis=1)
            offset = rng.integers(counts[picked])
            sizes = np.sort(places)
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            begin, shift, size = (
                np.repeat(part, sizes, axis=1) for part in (first[picked], offset, counts[picked])
            )
            filled.append(_count(members[begin + (shift + within) % size], len(codes)))
        yield Pair(reference=filled[0], window=filled[1])


def redraw(groups: NDArray[np.str_], *, trials: int, rng: Generator) -> Weights:
    """Groups drawn with replacement (the cluster bootstrap), as weights of (n,) rows: (t, n)."""
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    drawn = _count(rng.integers(len(counts), size=(trials, len(counts))), len(counts))
    weights: Weights = drawn[:, codes]
    return weights


def largest_gap(values: NDArray[np.float64], pair: Pair) -> NDArray[np.float64]:
    """Two-sample Kolmogorov-Smirnov statistic of each column of (n, d) values: (t, d), 0..1."""
    excess = pair.excess
    gaps = np.zeros((len(excess), values.shape[1]))
    for column, figures in enumerate(values.T):
        order = np.argsort(figures, kind="stable")
        # Equal figures count together: the two curves may only be read where a tie ends.
        ends = np.flatnonzero(np.diff(figures[order]))
        if len(ends):
            curve = np.cumsum(excess[:, order], axis=1)[:, ends]
            gaps[:, column] = np.abs(curve).max(axis=1)
    return gaps


def share_lost(flags: NDArray[np.float64], pair: Pair) -> NDArray[np.float64]:
    """The reference's mean of (n,) flags minus the window's, (t,)."""
    lost: NDArray[np.float64] = pair.excess @ flags
    return lost


def _blocks(
    reference: NDArray[np.str_], window: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Group number of every row and size of every group, the reference's groups first.

    A group that stands on both sides is two: dealing it out whole would undo the real division.
    """
    _, old, old_counts = np.unique(reference, return_inverse=True, return_counts=True)
    _, new, new_counts = np.unique(window, return_inverse=True, return_counts=True)
    codes = np.concatenate((old, new + len(old_counts)))
    return codes, np.concatenate((old_counts, new_counts)), len(old_counts)


def _shares(weights: Weights) -> Weights:
    shares: Weights = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _count(rows: NDArray[np.int64], n: int) -> Weights:
    """How often each of n numbers stands in each row of (t, m): (t, n)."""
    t = len(rows)
    cells = rows + n * np.arange(t)[:, None]
    return np.bincount(cells.ravel(), minlength=t * n).reshape(t, n).astype(np.float64)
