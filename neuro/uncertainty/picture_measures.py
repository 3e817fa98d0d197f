"""What the pixels tell of a picture without a network: light, contrast, noise, edges, borders.

A network's embedding does not see that half of a picture is black, or that it is blurred; these
measures do. Nineteen of the brightness, and of colour pictures four more.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neuro.images import preprocess

DARK, LIGHT = 0.05, 0.95  # of brightness, 0 to 1
WIDTHS = {1: 19, 3: 23}  # measures of a picture of so many channels
GREY = 2 / 255  # channels that differ less show no colour
_SPREADS = [-3, -1]  # the columns of how much two channels' difference varies
_BANDS = (0.02, 0.08, 0.16, 0.3, 0.5)  # of spatial frequency, cycles a pixel
_AROUND = 5  # px, of a place's own contrast
_SHARES = (0.1, 0.5, 0.9)  # quantiles of it
_LEAST_CONTRAST = 1e-3
_LEAST = 1e-4  # of what a logarithm is taken of
_PIXELS = 16 * 96 * 96  # at a time: what is worked on stays in the processor's cache

Floats = NDArray[np.float64]


def measure(frames: NDArray[np.uint8], rows: NDArray[np.int64] | None = None) -> Floats:
    """``rows`` of frames, (m, side, side, channels), or all, to (n, 19), of colour to (n, 23)."""
    chosen = np.arange(len(frames)) if rows is None else rows
    step = max(1, _PIXELS // frames.shape[1] ** 2)
    parts = [
        _measure(frames[chosen[start : start + step]]) for start in range(0, len(chosen), step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, WIDTHS[frames.shape[3]]))


def colours(measures: Floats) -> Floats:
    """How far the channels of each picture differ, 0 for a grey one; (0,) of frames in grey."""
    if measures.shape[1] == WIDTHS[1]:
        return np.empty(0)
    return np.asarray(np.exp(measures[:, _SPREADS]).max(axis=1) - 1 / 255)


def _measure(pictures: NDArray[np.uint8]) -> Floats:
    levels, most = preprocess.levels(pictures)
    grey = levels.astype(np.float32) / np.float32(most)
    side, each = grey.shape[1], (1, 2)
    is_dark = grey < DARK
    edges = np.abs(_laplace(grey)).mean(axis=each)
    down, across = (np.abs(np.diff(grey, axis=axis)).mean(axis=each) for axis in each)
    halves = [grey[:, : side // 2], grey[:, side // 2 :]]
    top, bottom = (half.mean(axis=each) for half in halves)
    left, right = grey[:, :, : side // 2].mean(axis=each), grey[:, :, side // 2 :].mean(axis=each)
    steps = np.diff(grey, axis=2).reshape(len(grey), -1)
    columns = [
        grey.mean(axis=each),
        grey.std(axis=each),
        np.log(edges + _LEAST),
        np.log(down + _LEAST) - np.log(across + _LEAST),
        is_dark.mean(axis=each),
        (grey > LIGHT).mean(axis=each),
        np.log((top + 0.01) / (bottom + 0.01)),
        np.abs(np.log((left + 0.01) / (right + 0.01))),
        np.abs(grey - grey[:, :, ::-1]).mean(axis=each),
        is_dark.all(axis=2).mean(axis=1),
        is_dark.all(axis=1).mean(axis=1),
        np.log(_kurtosis(steps)),  # text and frames have few and sharp edges
        *np.log(_local_contrast(levels.astype(np.int32), most) + _LEAST_CONTRAST),
        *_spectrum(grey),
    ]
    if pictures.shape[3] == 3:
        for first, second in ((0, 1), (1, 2)):
            difference = pictures[..., first] / np.float32(255)
            difference -= pictures[..., second] / np.float32(255)
            spread = difference.std(axis=each)
            columns += [difference.mean(axis=each), np.log(spread + 1 / 255)]  # 0 of a grey one
    return np.stack(columns, axis=1).astype(np.float64)


def _kurtosis(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row, 1 or more; 1 where nothing varies."""
    squares = (values - values.mean(axis=1, keepdims=True)) ** 2
    spread = squares.mean(axis=1)
    fourth = (squares**2).mean(axis=1)
    return np.asarray(
        np.divide(fourth, spread**2, out=np.ones_like(fourth), where=spread > _LEAST**2)
    )


def _laplace(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The second differences; the border is continued as in a mirror, as by scipy's ``laplace``."""
    wide = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="symmetric")
    rows, columns = wide[:, 1:-1], wide[:, :, 1:-1]
    beside = (rows[:, :, :-2] + rows[:, :, 2:]) + (columns[:, :-2] + columns[:, 2:])
    return np.asarray(beside - 4 * grey)  # exactly 0 where nothing varies


def _local_contrast(levels: NDArray[np.int32], most: int) -> NDArray[np.float32]:
    """Quantiles of the deviation around each place, (3, n). levels: 0 to ``most``.

    In whole numbers, so that a flat place has exactly 0.
    """
    n_around = _AROUND**2
    spread = n_around * _sum_around(levels * levels) - _sum_around(levels) ** 2
    deviation = np.sqrt(spread.astype(np.float32)) / np.float32(n_around * most)
    ordered = np.sort(deviation.reshape(len(levels), -1), axis=1)  # faster than numpy's quantile
    place = np.array(_SHARES) * (ordered.shape[1] - 1)
    below = place.astype(np.int64)
    share = (place - below).astype(np.float32)
    return np.asarray((ordered[:, below] * (1 - share) + ordered[:, below + 1] * share).T)


def _sum_around(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Over the square around each place; the border is continued as in a mirror."""
    reach = _AROUND // 2
    wide = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
    height, width = values.shape[1:]
    across = wide[:, :, :width].copy()
    for start in range(1, _AROUND):
        across += wide[:, :, start : start + width]
    down = np.zeros_like(values)
    for start in range(_AROUND):
        down += across[:, start : start + height]
    return down


def _spectrum(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Mean logarithm of the power in each band of spatial frequency."""
    waves = fft.rfft2(grey - grey.mean(axis=(1, 2), keepdims=True))
    power = np.log(waves.real**2 + waves.imag**2 + np.float32(1e-3)).reshape(len(grey), -1)
    shares = _bands(grey.shape[1])
    return [*(power @ shares).T]


@cache
def _bands(side: int) -> NDArray[np.float32]:
    """For each wave of a picture and band, its share of the band's mean, (waves, bands)."""
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]).ravel()
    within = np.stack([(radius >= low) & (radius < high) for low, high in pairwise(_BANDS)], axis=1)
    return np.asarray(within / within.sum(axis=0), np.float32)
