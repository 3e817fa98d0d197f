"""In which directions a picture's brightness changes, place by place: how it is oriented.

Histograms of oriented gradients, Dalal and Triggs (2005), of signed directions: a turn by a quarter
moves both the places and the bins. Each place is normalized by itself.
"""

import numpy as np
from numpy.typing import NDArray

CELLS, BINS = 12, 8  # places across, and directions of each
WIDTH = CELLS * CELLS * BINS
_LEAST = 0.01  # of a place's norm, so that the noise of a black border stays small
_BATCH = 256


def describe(
    frames: NDArray[np.uint8], rows: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """``rows`` of frames, (m, side, side, channels) of 16 px or more, or all, to (n, WIDTH)."""
    chosen = np.arange(len(frames)) if rows is None else rows
    found = np.empty((len(chosen), WIDTH), np.float32)
    for start in range(0, len(chosen), _BATCH):
        some = chosen[start : start + _BATCH]
        found[start : start + len(some)] = _describe(frames[some])
    return found


def _describe(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    n, side = pictures.shape[:2]
    grey = np.asarray(pictures.mean(axis=3) / 255, np.float32)
    cell = side // CELLS
    first = (side - CELLS * cell) // 2
    within = slice(first, first + CELLS * cell)
    down, across = (np.gradient(grey, axis=axis)[:, within, within] for axis in (1, 2))
    length = np.hypot(down, across)
    direction = (np.arctan2(down, across) * np.float32(BINS / (2 * np.pi))) % BINS
    lower = direction.astype(np.int64)  # each gradient is shared by the two bins beside it
    upper_share = length * (direction - lower)
    histograms = np.empty((n, CELLS, CELLS, BINS), np.float32)
    for number in range(BINS):
        of_bin = np.where(lower % BINS == number, length - upper_share, 0)
        of_bin += np.where((lower + 1) % BINS == number, upper_share, 0)
        places = of_bin.reshape(n, CELLS, cell, CELLS, cell)
        histograms[..., number] = places.sum(axis=(2, 4))
    norm = np.sqrt((histograms**2).sum(axis=3, keepdims=True) + _LEAST**2)
    return np.asarray(np.sqrt(histograms / (norm + 0.1)).reshape(n, WIDTH))
