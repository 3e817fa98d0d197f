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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Groups:
    """The groups of both sides. rows: (n,) samples, those of a group one after the other.

    starts, sizes: (g,) where each group begins in ``rows``, and how many it has.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def fill(
        self, dealt: NDArray[np.int64], place_sizes: NDArray[np.int64], rng: Generator
    ) -> Weights:
        """How often each sample stands in places that the dealt groups fill, (t, n).

        dealt: (t, p) groups, as many as there are places.
        """
        by_size = np.argsort(self.sizes[dealt], axis=1)
        dealt = np.take_along_axis(dealt, by_size, axis=1)
        first = rng.integers(self.sizes[dealt])
        place_sizes = np.sort(place_sizes)
        place = np.repeat(np.arange(len(place_sizes)), place_sizes)
        within_place = np.arange(len(place)) - (np.cumsum(place_sizes) - place_sizes)[place]
        group = dealt[:, place]
        member = (first[:, place] + within_place) % self.sizes[group]
        return _count(self.rows[self.starts[group] + member], len(self.rows))


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
    _, before, sizes_before = np.unique(reference, return_inverse=True, return_counts=True)
    _, now, sizes_now = np.unique(window, return_inverse=True, return_counts=True)
    # A group on both sides is two: dealing it out whole would undo the real division.
    group_of_row = np.concatenate((before, now + len(sizes_before)))
    sizes = np.concatenate((sizes_before, sizes_now))
    rows = rng.permutation(len(group_of_row))
    rows = rows[np.argsort(group_of_row[rows], kind="stable")]
    groups = _Groups(rows=rows, starts=np.cumsum(sizes) - sizes, sizes=sizes)
    step = max(1, _CHUNK_CELLS // len(rows))
    for start in range(0, trials, step):
        order = np.tile(np.arange(len(sizes)), (min(step, trials - start), 1))
        dealt = rng.permuted(order, axis=1)
        yield Pair(
            reference=groups.fill(dealt[:, : len(sizes_before)], sizes_before, rng),
            window=groups.fill(dealt[:, len(sizes_before) :], sizes_now, rng),
        )


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


def difference(values: NDArray[np.float64], pair: Pair) -> NDArray[np.float64]:
    """The reference's mean of each column of (n, d) values minus the window's, (t, d)."""
    means: NDArray[np.float64] = pair.excess @ values
    return means


def share_lost(flags: NDArray[np.float64], pair: Pair) -> NDArray[np.float64]:
    """The reference's mean of (n,) flags minus the window's, (t,)."""
    lost: NDArray[np.float64] = pair.excess @ flags
    return lost


def _shares(weights: Weights) -> Weights:
    shares: Weights = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _count(rows: NDArray[np.int64], n: int) -> Weights:
    """How often each of n numbers stands in each row of (t, m): (t, n)."""
    t = len(rows)
    cells = rows + n * np.arange(t)[:, None]
    return np.bincount(cells.ravel(), minlength=t * n).reshape(t, n).astype(np.float64)
