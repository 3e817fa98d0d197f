"""Near pairs and nearest pictures, found exactly without comparing all with all in full.

Pictures are projected on their low frequencies. With R for what that leaves out, Cauchy and
Schwarz give cos(a, b) <= Pa . Pb + |Ra| |Rb|: most pairs are ruled out by some 140 numbers instead
of 1,024, the rest are computed in full. No pair is missed, but for the rounding of float32.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from threadpoolctl import threadpool_limits

from neuro.image import THUMBNAIL_PX
from neuro.split import Pairs

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
T = TypeVar("T")

_SIDE = THUMBNAIL_PX
_RADIUS = 13  # of the kept frequencies; round, so that all eight poses keep the same ones
_BLOCK = 256
_CLOSEST = 64
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
    basis = _basis()
    coarse = _coarse(rows, basis)

    def search(start: int) -> Pairs:
        block = rows[start : start + _BLOCK]
        bound = _bounds(block, coarse[: start + len(block)], basis)
        j, i = np.nonzero(bound >= cosine - _ROUNDING)
        pairs = np.stack([i, j + start], axis=1).astype(np.int64)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        near: Pairs = pairs[cosines(rows, pairs) >= cosine]
        return near

    return np.concatenate([np.empty((0, 2), np.int64), *_each_block(search, first, len(rows))])


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
        basis, n = _basis(), len(rows)
        coarse, close = _coarse(rows, basis), min(_CLOSEST, n)
        self._rows = rows
        self._near = np.empty((n, close), np.int64)
        self._cosine = np.empty((n, close), np.float32)
        self._beyond = np.full(n, -np.inf, np.float32)

        def search(start: int) -> None:
            block = rows[start : start + _BLOCK]
            bound = _bounds(block, coarse, basis)
            order = np.argpartition(-bound, close - 1, axis=1)
            if close < n:
                rest = np.take_along_axis(bound, order[:, close:], axis=1)
                self._beyond[start : start + _BLOCK] = rest.max(axis=1) + _ROUNDING
            self._near[start : start + _BLOCK] = np.sort(order[:, :close], axis=1)
            views = np.stack(list(poses(block)), axis=2)
            for row, view in enumerate(views, start):
                self._cosine[row] = (rows[self._near[row]] @ view).max(axis=1)

        _each_block(search, 0, n)

    def nearest(self, asked: Rows, among: NDArray[np.bool_]) -> Rows:
        """For each asked row, the most similar of those in the mask ``among``. (m,)."""
        similar = np.where(among[self._near[asked]], self._cosine[asked], -np.inf)
        best = similar.argmax(axis=1)
        found: Rows = self._near[asked, best]
        open_rows = np.flatnonzero(similar[np.arange(len(asked)), best] < self._beyond[asked])
        pool = np.flatnonzero(among)
        others = self._rows[pool]

        def search(start: int) -> None:
            some = open_rows[start : start + _BLOCK]
            found[some] = pool[_full(self._rows[asked[some]], others).argmax(axis=1)]

        _each_block(search, 0, len(open_rows))
        return found


def _each_block(search: Callable[[int], T], first: int, last: int) -> list[T]:
    """Search block after block, one on each core.

    BLAS itself runs on one thread meanwhile: its own threads spin while they wait, which made this
    thirty times slower on a busy machine.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(search, range(first, last, _BLOCK)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _full(left: Vectors, right: Vectors) -> NDArray[np.float32]:
    best = np.full((len(left), len(right)), -1, np.float32)
    for pose in poses(left):
        np.maximum(best, pose @ right.T, out=best)
    return best


def _basis() -> Vectors:
    """Low-frequency patterns of the cosine transform, (1024, about 140), orthonormal."""
    waves = dct(np.eye(_SIDE), norm="ortho", axis=0)
    u, v = np.indices((_SIDE, _SIDE))
    kept = (u**2 + v**2 < _RADIUS**2) & (u + v > 0)  # no mean: it was removed
    patterns = np.einsum("ui,vj->uvij", waves, waves)[kept]
    return np.ascontiguousarray(patterns.reshape(len(patterns), -1).T, np.float32)


def _coarse(rows: Vectors, basis: Vectors) -> Vectors:
    low = rows @ basis
    whole = np.einsum("ij,ij->i", rows, rows)
    rest = np.sqrt(np.maximum(whole - np.einsum("ij,ij->i", low, low), 0))
    return np.concatenate([low, rest[:, None]], axis=1)


def _bounds(block: Vectors, coarse: Vectors, basis: Vectors) -> NDArray[np.float32]:
    """Upper bounds of the cosines of a block with all rows that are given as ``coarse``."""
    best = np.full((len(block), len(coarse)), -2, np.float32)
    part = np.empty_like(best)
    for pose in poses(block):
        np.matmul(_coarse(pose, basis), coarse.T, out=part)
        np.maximum(best, part, out=best)
    return best
