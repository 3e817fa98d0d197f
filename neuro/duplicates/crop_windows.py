"""Windows of thumbnails: what a crop of a picture shows, in pixels and in frequencies."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from neuro.duplicates.pose_invariants import Vectors
from neuro.images.thumbnail import THUMBNAIL_PX

_SIDE = THUMBNAIL_PX
_STEP = 0.004  # by which a window is moved and stretched to find its derivatives

Matrix = NDArray[np.float32]

# Of a window and its derivatives, which map of ``_line`` is applied down, and which across.
_TANGENTS = ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2))
_WAVES: Matrix = np.asarray(dct(np.eye(_SIDE), norm="ortho", axis=0), np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture: side and offsets as shares of the picture's side."""

    scale: float
    top: float
    left: float


def windows(scales: tuple[float, ...]) -> list[Window]:
    """Of each scale nine windows: at the top, middle and bottom, left, middle and right."""
    return [
        Window(scale, top, left)
        for scale in scales
        for top in _offsets(scale)
        for left in _offsets(scale)
    ]


def _offsets(scale: float) -> list[float]:
    offsets: list[float] = np.linspace(0, 1 - scale, 3).tolist() if scale < 1 else [0.0]
    return offsets


def cut(rows: Vectors, window: Window) -> Vectors:
    """A window of each (n, 1024) picture as a picture, mean-removed and of unit length."""
    pictures = rows.reshape(-1, _SIDE, _SIDE)
    down, across = _sampled(window.scale, window.top), _sampled(window.scale, window.left)
    views = (down @ pictures @ across.T).reshape(len(rows), -1)
    views = views - views.mean(axis=1, keepdims=True)
    unit: Vectors = views / np.maximum(np.linalg.norm(views, axis=1, keepdims=True), 1e-6)
    return unit


def frequencies(rows: Vectors) -> Matrix:
    """Cosine transforms of (n, 1024) pictures, (n, 32, 32)."""
    waves: Matrix = np.matmul(np.matmul(_WAVES, rows.reshape(-1, _SIDE, _SIDE)), _WAVES.T)
    return waves


def tangents(waves: Matrix, window: Window, size: int) -> NDArray[np.float64]:
    """A window of m pictures in frequencies, and four derivatives of it: (m, 5, size * size).

    The derivatives are by the top, the height, the left and the width of the window.
    """
    down = _line(window.scale, window.top)[:, :size]
    across = _line(window.scale, window.left)[:, :size]
    views = [(down[i] @ waves @ across[j].T).reshape(-1, size**2) for i, j in _TANGENTS]
    spanned = np.stack(views, axis=1).astype(np.float64)
    spanned[:, :, 0] = 0  # the mean
    return spanned


def all_tangents(waves: Matrix, scales: tuple[float, ...], size: int) -> Matrix:
    """The ``tangents`` of every window of these scales: (m, windows, 5, size * size) float32.

    The windows of one scale are cut at once, which is much faster than one after the other.
    """
    m, spanned = len(waves), []
    for scale in scales:
        n = len(_offsets(scale))
        lines = np.concatenate([_line(scale, offset)[:, :size] for offset in _offsets(scale)])
        lines = lines.reshape(-1, _SIDE)
        cuts = (lines @ (waves @ lines.T)).reshape(m, n, 3, size, n, 3, size)
        views = [cuts[:, :, i, :, :, j] for i, j in _TANGENTS]
        by_window = np.stack(views, axis=1).transpose(0, 2, 4, 1, 3, 5)  # top, left, tangent ...
        spanned.append(by_window.reshape(m, n * n, len(_TANGENTS), size**2))
    joined: Matrix = np.concatenate(spanned, axis=1)
    joined[..., 0] = 0  # the mean
    return joined


@lru_cache(maxsize=64)
def _line(scale: float, offset: float) -> Matrix:
    """Three maps from a line's frequencies to those of a window of it, (3, 32, 32) float32.

    The window, and how it changes with the offset, and with the scale around the same centre.
    """
    half = _STEP / 2
    moved = _cut_line(scale, offset + _STEP) - _cut_line(scale, offset - _STEP)
    wider = _cut_line(scale + _STEP, offset - half) - _cut_line(scale - _STEP, offset + half)
    return np.stack([_cut_line(scale, offset), moved / (2 * _STEP), wider / (2 * _STEP)])


def _cut_line(scale: float, offset: float) -> Matrix:
    """Frequencies of a window of a line, from the line's frequencies. (32, 32) float32."""
    cut: Matrix = np.matmul(_WAVES, np.matmul(_sampled(scale, offset), _WAVES.T))
    return cut


def _sampled(scale: float, offset: float) -> Matrix:
    """Samples of a window of a line of pixels, interpolated between neighbours. (32, 32)."""
    place = (offset + scale * (np.arange(_SIDE) + 0.5) / _SIDE) * _SIDE - 0.5
    place = np.clip(place, 0, _SIDE - 1)
    left = np.minimum(place.astype(np.int64), _SIDE - 2)
    weights = np.zeros((_SIDE, _SIDE), np.float32)
    weights[np.arange(_SIDE), left] = 1 - (place - left)
    weights[np.arange(_SIDE), left + 1] += place - left
    return weights
