"""Near pairs and nearest pictures, found exactly without comparing all pictures in full.

Three comparisons, each dearer and sharper than the one before: a product of some 60 numbers that
no pose changes (``pose_invariants.invariants``), the low frequencies in the best pose
(``pose_invariants.best_cosines``), and all pixels in all poses. The first two give upper bounds of
the cosine, so that no pair is missed, but for the rounding of float32.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neuro.duplicates import pose_invariants
from neuro.duplicates.pose_invariants import Parts, Vectors
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.splits.draw_splits import Pairs

Rows = NDArray[np.int64]
T = TypeVar("T")

_SIDE = THUMBNAIL_PX
_COARSE, _FINE = 8, 13  # radius of the frequencies in the first and in the second comparison
_BLOCK, _TILE = 128, 256  # rows and columns at once: products and sums stay in the cache
_WIDE = 8192  # columns of one plain product
_PAIRS = 1024  # pairs that are compared at once
_CLOSEST = 24  # pictures that are kept for each row
_ROUNDING = np.float32(1e-5)


def poses(rows: Vectors) -> Iterator[Vectors]:
    """The eight flips and rotations of each row, since mirrored copies are the commonest leak."""
    pictures = rows.reshape(-1, _SIDE, _SIDE)
    for turns in range(4):
        turned = np.rot90(pictures, turns, axes=(1, 2))
        for pose in (turned, turned[:, :, ::-1]):
            yield pose.reshape(len(rows), -1)


def near_pairs(rows: Vectors, first: int, cosine: float) -> Pairs:
    """Pairs (i, j), i < j, j >= first, whose cosine in any pose reaches the given one. (m, 2)."""
    parts = pose_invariants.split(rows, _FINE)
    invariants = pose_invariants.invariants(pose_invariants.split(rows, _COARSE))
    lowest = cosine - _ROUNDING

    def search(block: slice) -> Pairs:
        candidates = [np.empty((0, 2), np.int64)]
        for columns in slices(0, block.stop, _WIDE):
            j, i = np.nonzero(invariants[block] @ invariants[columns].T >= lowest)
            pairs = np.stack([i + columns.start, j + block.start], axis=1).astype(np.int64)
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            candidates.append(pairs[_paired_bounds(parts, pairs) >= lowest])
        pairs = np.concatenate(candidates)
        near: Pairs = pairs[cosines(rows, pairs) >= cosine]
        return near

    return np.concatenate([np.empty((0, 2), np.int64), *each_block(search, first, len(rows))])


def cosines(rows: Vectors, pairs: Pairs) -> NDArray[np.float32]:
    """Cosine of each pair, best of the eight poses. (m,)."""
    best = np.full(len(pairs), -1, np.float32)
    for some in slices(0, len(pairs), _PAIRS):
        left, right = rows[pairs[some, 0]], rows[pairs[some, 1]]
        for pose in poses(left):
            best[some] = np.maximum(best[some], np.einsum("ij,ij->i", pose, right))
    return best


class Neighbours:
    """The pictures closest to each row, with a bound on the cosine of all others."""

    def __init__(self, rows: Vectors) -> None:
        n = len(rows)
        count = min(_CLOSEST, n)
        self._rows, self._parts = rows, pose_invariants.split(rows, _FINE)
        self._close = np.empty((n, count), np.int64)  # rows with the highest bounds
        self._cosines = np.empty((n, count), np.float32)  # their exact cosines
        self._others_at_most = np.empty(n, np.float32)

        def search(block: slice) -> None:
            close, highest_other = closest(self._parts[block], self._parts, count)
            self._close[block], self._others_at_most[block] = close, highest_other + _ROUNDING
            for row, views in enumerate(_views(rows[block]), block.start):
                self._cosines[row] = (views @ rows[self._close[row]].T).max(axis=0)

        each_block(search, 0, n)

    @property
    def closest(self) -> Rows:
        """The closest of each row, itself among them, most similar first. (n, at most 24)."""
        order = np.argsort(-self._cosines, axis=1, kind="stable")
        return np.take_along_axis(self._close, order, axis=1)

    def nearest(self, queries: Rows, among: NDArray[np.bool_]) -> Rows:
        """For each of some rows, (m,), the most similar of those in the mask ``among``. (m,)."""
        cosines = np.where(among[self._close[queries]], self._cosines[queries], -np.inf)
        best = cosines.argmax(axis=1)
        nearest: Rows = self._close[queries, best]
        highest = cosines[np.arange(len(queries)), best]
        # Where none of the close rows is in the mask, or another row may be closer.
        unsure = np.flatnonzero(highest < self._others_at_most[queries])

        def search(block: slice) -> None:
            places = unsure[block]
            rows = queries[places]
            highest_of_all = np.where(among, bounds(self._parts[rows], self._parts), -np.inf)
            views = _views(self._rows[rows])
            for place, at_most, view in zip(places, highest_of_all, views, strict=True):
                others = np.flatnonzero(at_most > highest[place] - _ROUNDING)
                others = others[np.argsort(-at_most[others], kind="stable")]
                for start in range(0, len(others), _CLOSEST):
                    some = others[start : start + _CLOSEST]
                    if at_most[some[0]] <= highest[place] - _ROUNDING:
                        break
                    exact = (view @ self._rows[some].T).max(axis=0)
                    if exact.max() > highest[place]:
                        nearest[place], highest[place] = some[exact.argmax()], exact.max()

        each_block(search, 0, len(unsure))
        return nearest


def slices(first: int, last: int, size: int) -> list[slice]:
    """The rows first to last, so many at a time."""
    return [slice(start, min(start + size, last)) for start in range(first, last, size)]


def each_block(search: Callable[[slice], T], first: int, last: int) -> list[T]:
    """Search block after block of the rows first to last, one on each core.

    BLAS itself runs on one thread meanwhile: its own threads spin while they wait, which made this
    thirty times slower on a busy machine.
    """
    blocks = slices(first, last, _BLOCK)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(search, blocks))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _views(rows: Vectors) -> Vectors:
    """Every pose of each row, (n, 8, 1024)."""
    return np.stack(list(poses(rows)), axis=1)


def bounds(left: Parts, right: Parts) -> Vectors:
    """Upper bounds of the cosines of each left with each right picture in its best pose, (n, m)."""
    bound = np.empty((len(left), len(right)), np.float32)
    for some in slices(0, len(right), _TILE):
        bound[:, some] = pose_invariants.best_cosines(left, right[some])
    return bound


def _paired_bounds(parts: Parts, pairs: Pairs) -> Vectors:
    """Upper bounds of the cosines of pairs, (m,)."""
    bound = np.empty(len(pairs), np.float32)
    for some in slices(0, len(pairs), _PAIRS):
        left, right = parts[pairs[some, 0]], parts[pairs[some, 1]]
        bound[some] = pose_invariants.paired_cosines(left, right)
    return bound


def closest(left: Parts, right: Parts, count: int) -> tuple[Rows, Vectors]:
    """The right pictures with the ``count`` highest bounds, ascending, and the highest other bound.

    Returns (m, count) rows of right and (m,). The bounds of a left picture are dealt out into as
    many hands as a tile has columns, like cards. The highest ones lie in the hands that have the
    highest maxima, so only these hands are looked into: one more than ``count``, for the other.
    """
    n_tiles = -(-len(right) // _TILE)
    bound = np.full((len(left), n_tiles * _TILE), -np.inf, np.float32)
    maxima = np.full((len(left), _TILE), -np.inf, np.float32)
    for start in range(0, len(right), _TILE):
        tile = pose_invariants.best_cosines(left, right[start : start + _TILE])
        bound[:, start : start + tile.shape[1]] = tile
        of_hands = maxima[:, : tile.shape[1]]
        np.maximum(of_hands, tile, out=of_hands)
    hands = np.argpartition(-maxima, count, axis=1)[:, : count + 1]
    columns = (hands[:, :, None] + np.arange(n_tiles) * _TILE).reshape(len(left), -1)
    inside = np.take_along_axis(bound, columns, axis=1)
    order = np.argpartition(-inside, count, axis=1)
    columns = np.take_along_axis(columns, order, axis=1)
    highest_other = np.take_along_axis(inside, order[:, count : count + 1], axis=1)[:, 0]
    return np.sort(columns[:, :count], axis=1), highest_other
