"""Thumbnails in one pose: a picture and its flips and rotations have the same vector, to the bit.

The miniature is computed so that a flip or a quarter turn of the picture flips or turns it exactly:
its weights are symmetric whole numbers, whose products and sums float64 holds exactly in any order.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neuro.images.thumbnail import THUMBNAIL_PX, Grey, kernel

VERSION = "thumb-1"  # part of the feature hash: raise it when any vector changes

_SIDE = THUMBNAIL_PX
Sums = NDArray[np.float64]


def vector(grey: Grey) -> NDArray[np.float32]:
    """Mean-removed thumbnail of (h, w) grey levels in its canonical pose, of length 1. (1024,).

    All zeros for a flat picture.
    """
    best = canonical(sums(grey)).ravel()
    centred = best - best.mean()
    length = float(np.sqrt(np.square(centred).sum()))
    unit: NDArray[np.float32] = (centred / (length or 1.0)).astype(np.float32)
    return unit


def sums(grey: Grey) -> Sums:
    """A (32, 32) miniature as whole numbers below 2**43: grey levels times a constant."""
    height, width = grey.shape
    tall = _symmetric(height) @ grey.astype(np.float64)
    small: Sums = tall @ _symmetric(width).T
    return small


def canonical(small: Sums) -> Sums:
    """The one of eight poses that leans farthest down and right; ties go by the numbers themselves.

    A picture that is nearly symmetric may lean another way after a slight change, such as another
    coding: who looks for the nearest compares all eight poses nevertheless.
    """
    return max(_poses(small), key=lambda pose: (float((pose * _lean()).sum()), tuple(pose.ravel())))


def _poses(small: Sums) -> Iterator[Sums]:
    for turns in range(4):
        turned = np.rot90(small, turns)
        for pose in (turned, turned[:, ::-1]):
            yield np.ascontiguousarray(pose)  # sums are taken in the order of the memory


@lru_cache(maxsize=1)
def _lean() -> Sums:
    """Weights that no flip or rotation leaves alone: two of the way down, one right."""
    place = 2 * np.arange(_SIDE) - (_SIDE - 1)
    return (2 * place[:, None] + place[None, :]).astype(np.float64)


@lru_cache(maxsize=64)
def _symmetric(size: int) -> Sums:
    """What each of ``size`` pixels gives to each of 32; (32, size), the same from either end."""
    one = kernel(size, _SIDE).astype(np.float64)
    both: Sums = one + one[::-1, ::-1]
    return both
