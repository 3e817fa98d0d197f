"""Whether a map points at what decides: the answer as marked places appear, and as they vanish.

Insertion and deletion (Petsiuk et al., arXiv:1806.07421), from and to a blurred picture. A map is
nothing without what needs no network beside it: noise, a blob in the middle, and brightness.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

STEPS = 8  # shares of the picture between none and all
BLUR = 1 / 8  # deviation of the blurred picture, in sides
SEED = 0

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
# Of frames, (m, side, side, channels), and the class asked about, the probability of it, (m,).
Score = Callable[[Pixels, NDArray[np.int64]], Floats]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Faithful:
    """Areas under the probability of a class, (n,) each, 0 to 1. gap: insertion less deletion."""

    insertion: Floats
    deletion: Floats

    @property
    def gap(self) -> Floats:
        """How much better than not pointing at all: 0 is none."""
        return self.insertion - self.deletion


def judge(
    score: Score, pixels: Pixels, classes: NDArray[np.int64], maps: NDArray[np.float32]
) -> Faithful:
    """Of each frame with its map, (n, side, side): the areas for the class of each, (n,)."""
    insertion, deletion = np.empty(len(pixels)), np.empty(len(pixels))
    for row, (picture, map_) in enumerate(zip(pixels, maps, strict=True)):
        stages = _stages(picture, map_)
        found = score(stages, np.full(len(stages), classes[row]))
        deletion[row], insertion[row] = (
            np.trapezoid(half, dx=1 / STEPS) for half in np.split(found, 2)
        )
    return Faithful(insertion=insertion, deletion=deletion)


def _stages(picture: Pixels, map_: NDArray[np.float32]) -> Pixels:
    """The picture as its highest places vanish, and then a blurred one as they appear."""
    side = len(picture)
    base = ndimage.gaussian_filter(picture, (BLUR * side, BLUR * side, 0))
    # Ties, such as of a map that is 0 in large parts, in an order that points nowhere.
    order = np.random.default_rng(SEED).permutation(map_.size)
    rank = np.empty(map_.size)
    rank[order] = rankdata(-map_.ravel()[order], method="ordinal")
    cuts = np.linspace(0, map_.size, STEPS + 1)
    is_marked = rank.reshape(1, *map_.shape, 1) <= cuts[:, None, None, None]
    gone = np.where(is_marked, base, picture)
    return np.concatenate([gone, np.where(is_marked, picture, base)])


def noise(n: int, cells: int, side: int) -> NDArray[np.float32]:
    """Maps of as many cells that know nothing, at the side of the frames."""
    drawn = np.random.default_rng(SEED).random((n, cells, cells), dtype=np.float32)
    return enlarged(drawn, side)


def blob(n: int, side: int) -> NDArray[np.float32]:
    """The same map for all: the middle of the picture first."""
    across = np.abs(np.linspace(-1, 1, side, dtype=np.float32))
    return np.repeat(-np.hypot(across[:, None], across)[None], n, axis=0)


def brightness(pixels: Pixels) -> NDArray[np.float32]:
    """The brightest places first."""
    return np.asarray(pixels.mean(axis=3, dtype=np.float32))


def enlarged(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Maps, (n, grid, grid), at the side of the frames; smooth, as they are shown."""
    if not len(maps):
        return np.empty((0, side, side), np.float32)
    # A cell stands for its square: centres are half a cell from the edge.
    cells = maps.shape[1]
    at = np.clip((np.arange(side) + 0.5) * cells / side - 0.5, 0, cells - 1)
    rows, columns = np.meshgrid(at, at, indexing="ij")
    places = np.stack([rows, columns])
    large = [ndimage.map_coordinates(each, places, order=1, mode="nearest") for each in maps]
    return np.stack(large).astype(np.float32)
