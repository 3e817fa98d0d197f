"""In which directions a picture's brightness changes, cell by cell: how it is oriented.

Histograms of oriented gradients, Dalal and Triggs (2005), of signed directions: a turn by a quarter
moves both the cells and the bins. Each cell is normalized by itself.
"""

import numpy as np
from numpy.typing import NDArray

from neuro.images import preprocess

CELLS, BINS = 12, 8  # across a picture, and directions of each
WIDTH = CELLS * CELLS * BINS
_DAMPING = 0.1  # added to a cell's norm, so that the noise of a black border stays small
_PIXELS = 16 * 96 * 96  # at a time: what is worked on stays in the processor's cache


def describe(
    frames: NDArray[np.uint8], rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """``rows`` of frames, (m, side, side, channels), or all, to (n, WIDTH), 0 to 1.

    Roots, so that strong edges do not outweigh many weak ones. side: 12 px or more.
    """
    chosen = np.arange(len(frames)) if rows is None else rows
    found = np.empty((len(chosen), WIDTH), np.float32)
    step = max(1, _PIXELS // frames.shape[1] ** 2)
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        found[start : start + len(some)] = _describe(frames[some])
    return found


def turned(described: NDArray[np.float32], quarters: int) -> NDArray[np.float32]:
    """What ``describe`` says of the same pictures turned to the left by so many quarters."""
    cells = described.reshape(-1, CELLS, CELLS, BINS)
    moved = np.roll(np.rot90(cells, quarters, axes=(1, 2)), -quarters * BINS // 4, axis=3)
    return moved.reshape(described.shape)


def _describe(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    n, side = pictures.shape[:2]
    cell = side // CELLS
    first = (side - CELLS * cell) // 2
    within = slice(first, first + CELLS * cell)
    grey = preprocess.brightness(pictures)
    down, across = (np.gradient(grey, axis=axis)[:, within, within] for axis in (1, 2))
    length = np.sqrt(down * down + across * across)
    direction = np.arctan2(down, across) * np.float32(BINS / (2 * np.pi)) + np.float32(BINS)
    lower = direction.astype(np.int32)  # each gradient is shared by the two bins beside it
    upper_share = length * (direction - lower)
    of_side = np.arange(CELLS * cell, dtype=np.int32) // cell
    picture = np.arange(n, dtype=np.int32)[:, None, None]
    place = ((picture * CELLS + of_side[:, None]) * CELLS + of_side) * BINS
    histograms = np.zeros(n * WIDTH)
    for number, weight in ((lower, length - upper_share), (lower + 1, upper_share)):
        index = (place + number % BINS).ravel()
        histograms += np.bincount(index, weights=weight.ravel(), minlength=n * WIDTH)
    cells = histograms.astype(np.float32).reshape(n, CELLS, CELLS, BINS)
    norm = np.sqrt((cells**2).sum(axis=3, keepdims=True))
    return np.asarray(np.sqrt(cells / (norm + np.float32(_DAMPING)))).reshape(n, WIDTH)
