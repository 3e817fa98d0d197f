"""Near pairs and nearest pictures, found exactly without comparing all with all in full.

A product of some 60 numbers rules out nearly all pairs (``harmonics.invariants``), the low
frequencies most others (``harmonics.best_cosines``), and the rest are computed in full. No pair is
missed, but for the rounding of float32.
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
from neuro.splits.assign import Pairs

Rows = NDArray[np.int64]
T = TypeVar("T")

_SIDE = THUMBNAIL_PX
_COARSE, _FINE = 8, 13  # radius of the frequencies that rule out pairs, first and second
_BLOCK, _TILE = 256, 512  # rows and columns at once: products and sums stay in the cache
_WIDE = 8192  # columns of one plain product
_CLOSEST, _CHUNK = 24, 32
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
    fine = pose_invariants.split(rows, _FINE)
    coarse = pose_invariants.invariants(pose_invariants.split(rows, _COARSE))
    least = cosine - _ROUNDING

    def search(start: int) -> Pairs:
        end = min(start + _BLOCK, len(rows))
        found = [np.empty((0, 2), np.int64)]
        for left in range(0, end, _WIDE):
            bound = coarse[start:end] @ coarse[left : min(left + _WIDE, end)].T
            j, i = np.nonzero(bound >= least)
            pairs = np.stack([i + left, j + start], axis=1).astype(np.int64)
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            found.append(pairs[_bounds_of(fine, pairs) >= least])
        pairs = np.concatenate(found)
        near: Pairs = pairs[cosines(rows, pairs) >= cosine]
        return near

    return np.concatenate([np.empty((0, 2), np.int64), *each_block(search, first, len(rows))])


def cosines(rows: Vectors, pairs: Pairs) -> NDArray[np.float32]:
    """Cosine of each pair, best of the eight poses. (m,)."""
    best = np.full(len(pairs), -1, np.float32)
    for start in range(0, len(pairs), 4 * _BLOCK):
        some = pairs[start : start + 4 * _BLOCK]
        other = rows[some[:, 1]]
        for pose in poses(rows[some[:, 0]]):
            part = best[start : start + len(some)]
            np.maximum(part, np.einsum("ij,ij->i", pose, other), out=part)
    return best


class Neighbours:
    """The pictures closest to each row, with a bound on the cosine of all others."""

    def __init__(self, rows: Vectors) -> None:
        n = len(rows)
        close = min(_CLOSEST, n)
        self._rows, self._fine = rows, pose_invariants.split(rows, _FINE)
        self._near = np.empty((n, close), np.int64)
        self._cosine = np.empty((n, close), np.float32)
        self._beyond = np.empty(n, np.float32)

        def search(start: int) -> None:
            some = slice(start, min(start + _BLOCK, n))
            near, beyond = largest(bounds(self._fine[some], self._fine), close)
            self._near[some], self._beyond[some] = near, beyond + _ROUNDING
            views = _views(rows[some])
            for row, view in enumerate(views, start):
                self._cosine[row] = (rows[self._near[row]] @ view).max(axis=1)

        each_block(search, 0, n)

    @property
    def closest(self) -> Rows:
        """The closest of each row, itself among them, most similar first. (n, at most 24)."""
        order = np.argsort(-self._cosine, axis=1, kind="stable")
        return np.take_along_axis(self._near, order, axis=1)

    def nearest(self, asked: Rows, among: NDArray[np.bool_]) -> Rows:
        """For each asked row, the most similar of those in the mask ``among``. (m,)."""
        similar = np.where(among[self._near[asked]], self._cosine[asked], -np.inf)
        best = similar.argmax(axis=1)
        found: Rows = self._near[asked, best]
        highest = similar[np.arange(len(asked)), best]
        open_rows = np.flatnonzero(highest < self._beyond[asked])

        def search(start: int) -> None:
            some = open_rows[start : start + _BLOCK]
            closest = np.where(among, bounds(self._fine[asked[some]], self._fine), -np.inf)
            views = _views(self._rows[asked[some]])
            for place, bound, view in zip(some, closest, views, strict=True):
                others = np.flatnonzero(bound > highest[place] - _ROUNDING)
                exact = (self._rows[others] @ view).max(axis=1)
                if len(others) and exact.max() > highest[place]:
                    found[place] = others[exact.argmax()]

        each_block(search, 0, len(open_rows))
        return found


def each_block(search: Callable[[int], T], first: int, last: int) -> list[T]:
    """Search block after block, one on each core.

    BLAS itself runs on one thread meanwhile: its own threads spin while they wait, which made this
    thirty times slower on a busy machine.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(search, range(first, last, _BLOCK)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _views(rows: Vectors) -> Vectors:
    """Every pose of each row, (n, 1024, 8)."""
    return np.stack(list(poses(rows)), axis=2)


def bounds(left: Parts, right: Parts) -> Vectors:
    """Upper bounds of the cosines of each left with each right picture in its best pose, (n, m)."""
    bound = np.empty((len(left), len(right)), np.float32)
    for start in range(0, len(right), _TILE):
        some = slice(start, start + _TILE)
        bound[:, some] = pose_invariants.best_cosines(left, right[some])
    return bound


def _bounds_of(fine: Parts, pairs: Pairs) -> Vectors:
    """Upper bounds of the cosines of pairs."""
    steps = range(0, len(pairs), 4 * _BLOCK)
    some = [pairs[start : start + 4 * _BLOCK] for start in steps]
    parts = [pose_invariants.paired_cosines(fine[p[:, 0]], fine[p[:, 1]]) for p in some]
    return np.concatenate([np.empty(0, np.float32), *parts])


def largest(values: Vectors, count: int) -> tuple[Rows, Vectors]:
    """Columns of each row's largest values, (m, count), and the largest of its other values.

    The largest values lie in the chunks that have the largest maxima: only those are looked into.
    """
    m, n = values.shape
    padded = np.full((m, -(-n // _CHUNK) * _CHUNK + _CHUNK), -np.inf, np.float32)
    padded[:, :n] = values
    chunks = padded.reshape(m, -1, _CHUNK)
    top = chunks.max(axis=2)
    kept = min(count + 1, top.shape[1])  # one more holds the largest of the others
    chosen = np.argpartition(-top, kept - 1, axis=1)[:, :kept]
    columns = (chosen[:, :, None] * _CHUNK + np.arange(_CHUNK)).reshape(m, -1)
    inside = np.take_along_axis(padded, columns, axis=1)
    order = np.argpartition(-inside, count, axis=1)
    columns = np.take_along_axis(columns, order, axis=1)
    beyond = np.take_along_axis(inside, order[:, count : count + 1], axis=1)[:, 0]
    return np.sort(columns[:, :count], axis=1), beyond
