"""Small versions of a picture that are equal to the bit on every machine.

Pillow's bilinear filter (a triangle as wide as the reduction) as two products of matrices whose
entries are whole numbers: their sums stay below 2**24, where float32 is exact in any order. It
takes half of Pillow's time and differs from it by one grey level at most.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 32
_ONE = 1 << 16  # the weights of one pixel sum up to it; 255 times as much is just below 2**24
_BAND = 8  # targets of one product: fewer are slow, more multiply zeros

Grey = NDArray[np.uint8]


def thumbnail(grey: Grey) -> Grey:
    """A (32, 32) miniature of (h, w) grey levels: what twins are found by."""
    return shrink(grey, THUMBNAIL_PX, THUMBNAIL_PX)


def shrink(grey: Grey, height: int, width: int) -> Grey:
    """Resize (h, w) grey levels to (height, width): columns first, then rows."""
    tall = np.empty((height, grey.shape[1]), np.float32)
    for done, first, weights in _bands(grey.shape[0], height):
        rows = grey[first : first + weights.shape[1]].astype(np.float32)
        np.matmul(weights, rows, out=tall[done : done + len(weights)])
    return _levels(_levels(tall) @ kernel(grey.shape[1], width).T).astype(np.uint8)


def _levels(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sums as the nearest grey levels, still float32."""
    sums *= np.float32(1 / _ONE)
    sums += np.float32(0.5)
    return np.floor(sums, out=sums)


@lru_cache(maxsize=64)
def _bands(size: int, target: int) -> list[tuple[int, int, NDArray[np.float32]]]:
    """The weights without most of their zeros: some targets at once, from where on they look."""
    weights, bands = kernel(size, target), []
    for done in range(0, target, _BAND):
        some = weights[done : done + _BAND]
        seen = np.flatnonzero(some.any(axis=0))
        bands.append((done, int(seen[0]), np.ascontiguousarray(some[:, seen[0] : seen[-1] + 1])))
    return bands


@lru_cache(maxsize=64)
def kernel(size: int, target: int) -> NDArray[np.float32]:
    """What each of ``size`` pixels gives to each of ``target``; (target, size), whole numbers."""
    scale = size / target
    reach = max(scale, 1.0)
    centres = (np.arange(target)[:, None] + 0.5) * scale
    share = np.maximum(0, 1 - np.abs(np.arange(size) + 0.5 - centres) / reach)
    share *= _ONE / share.sum(axis=1, keepdims=True)
    whole = np.floor(share)
    # What rounding down took away goes to the pixels that lost most, so that rows sum up to one.
    lost = np.argsort(whole - share, axis=1, kind="stable")
    missing = (_ONE - whole.sum(axis=1)).astype(np.int64)
    for row, order, n in zip(whole, lost, missing, strict=True):
        row[order[:n]] += 1
    return whole.astype(np.float32)
