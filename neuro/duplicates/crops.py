"""Pairs of pictures of which one is a mild crop of the other, in any pose.

A crop moves and stretches a picture, which takes most of the likeness of two thumbnails. So each
picture is first seen as the middle of what its crops may show, and compared in a metric that
weighs little what such crops change: within-class whitening, with crops of the pictures themselves
as the classes (K. Fukunaga, Introduction to Statistical Pattern Recognition, 1990, ch. 10). The
few that come closest are then laid over one another: the best window, and around it all small
moves and stretches at once, as the span of the picture and its derivatives (tangent distance:
P. Simard et al., NIPS 5, 1992).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from neuro.duplicates import neighbours, pose_invariants
from neuro.duplicates.pose_invariants import Parts, Vectors
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.splits.assign import Pairs

COSINE = 0.99  # of low-passed pictures that are laid over one another
_SIDE = THUMBNAIL_PX
_SCALES = (0.95, 0.90)  # sides of the windows that are tried
_MIDDLE = 0.94
_LIMIT = 0.04  # how far a window may be moved and stretched, as a share of the side
_COARSE, _MEDIUM, _FINE = 10, 8, 16  # frequencies of the search, of the window, of the verdict
_CLOSEST, _BLOCK, _PAIRS = 12, 256, 4096
_SAMPLE = 1500  # pictures that the metric is learnt from
_RIDGE = 0.03
_STEP = 0.004  # of the derivatives

Matrix = NDArray[np.float32]

_WAVES: Matrix = np.asarray(dct(np.eye(_SIDE), norm="ortho", axis=0), np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture: side and offsets as shares of its own."""

    scale: float
    top: float
    left: float


def pairs(rows: Vectors, first: int, joined: NDArray[np.int64]) -> Pairs:
    """Pairs (i, j) of which at least one is ``first`` or later, one a crop of the other. (m, 2).

    rows: (n, 1024) mean-removed unit thumbnails. joined: (n,) cluster numbers; pairs within one
    cluster are not asked for. Found are crops of 88 to 100 % of each side.
    """
    if first >= len(rows):
        return np.empty((0, 2), np.int64)
    asked = _candidates(rows, first)
    asked = asked[joined[asked[:, 0]] != joined[asked[:, 1]]]
    waves = _frequencies(rows)
    steps = range(0, len(asked), _PAIRS)
    likeness = [_likeness(waves, asked[start : start + _PAIRS]) for start in steps]
    found = asked[np.concatenate([np.empty(0), *likeness]) >= COSINE]
    return np.unique(np.sort(found, axis=1), axis=0)


def _candidates(rows: Vectors, first: int) -> Pairs:
    """Of each picture those that it may be a crop of, (m, 2) as (whole, crop)."""
    middle = _seen(rows, Window(_MIDDLE, (1 - _MIDDLE) / 2, (1 - _MIDDLE) / 2))
    metric = _Metric.learnt(rows)
    wholes = metric.of(pose_invariants.split(middle, _COARSE))
    crops = metric.of(pose_invariants.split(rows, _COARSE))

    def search(start: int, until: int, lowest: int) -> Pairs:
        end = min(start + _BLOCK, until)
        likeness = neighbours.bounds(crops[start:end], wholes[lowest:])
        closest, _ = neighbours.largest(likeness, min(_CLOSEST, likeness.shape[1]))
        which = np.repeat(np.arange(start, end), closest.shape[1])
        return np.stack([closest.ravel() + lowest, which], axis=1)

    # Those that were there before were compared with one another before.
    held = neighbours.each_block(partial(search, until=first, lowest=first), 0, first)
    new = neighbours.each_block(partial(search, until=len(rows), lowest=0), first, len(rows))
    found = np.concatenate([*held, *new])
    apart: Pairs = found[found[:, 0] != found[:, 1]]
    return apart


@dataclass(frozen=True, slots=True)
class _Metric:
    """What makes the differences between crops of one picture small, part by part.

    No pose mixes the parts (Schur's lemma), so that it is the same metric in every pose.
    """

    even: tuple[Matrix, Matrix]
    odd: tuple[Matrix, Matrix]
    mixed: Matrix

    @staticmethod
    def learnt(rows: Vectors) -> "_Metric":
        """From a sample of the pictures, (n, 1024)."""
        chosen = np.random.default_rng(0).permutation(len(rows))[:_SAMPLE]
        some = rows[np.sort(chosen)]
        edge = (1 - _MIDDLE) / 2
        middle = _flat(pose_invariants.split(_seen(some, Window(_MIDDLE, edge, edge)), _COARSE))
        spread = [np.zeros((part.shape[1],) * 2, np.float64) for part in middle]
        for window in _windows((1.0, *_SCALES)):
            seen = _flat(pose_invariants.split(_seen(some, window), _COARSE))
            for total, one, other in zip(spread, seen, middle, strict=True):
                total += (one - other).T @ (one - other)
        spread[4:] = [(spread[4] + spread[5]) / 2]
        ridge = _RIDGE * np.mean(np.concatenate([np.diag(total) for total in spread])) + 1e-12
        roots = [_inverse_root(total + ridge * np.eye(len(total))) for total in spread]
        return _Metric((roots[0], roots[1]), (roots[2], roots[3]), roots[4])

    def of(self, parts: Parts) -> Parts:
        """The pictures in this metric, each of unit length, so that products are cosines."""
        even = [part @ root for part, root in zip(parts.even, self.even, strict=True)]
        odd = [part @ root for part, root in zip(parts.odd, self.odd, strict=True)]
        mixed = [part @ self.mixed for part in parts.mixed]
        squares = sum(np.einsum("ij,ij->i", part, part) for part in (*even, *odd, *mixed))
        length = np.sqrt(np.maximum(squares, 1e-12))[:, None].astype(np.float32)
        return Parts(
            even=(even[0] / length, even[1] / length),
            odd=(odd[0] / length, odd[1] / length),
            mixed=(mixed[0] / length, mixed[1] / length),
            rest=np.zeros_like(parts.rest),
        )


def _flat(parts: Parts) -> list[Vectors]:
    """The parts of pictures whose low frequencies have unit length."""
    length: Vectors = np.sqrt(np.maximum(1 - parts.rest**2, np.float32(1e-6)))
    return [part / length for part in (*parts.even, *parts.odd, *parts.mixed)]


def _inverse_root(matrix: NDArray[np.float64]) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    root: Matrix = ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)
    return root


def _likeness(waves: Matrix, asked: Pairs) -> NDArray[np.float64]:
    """Cosine of each (whole, crop) when laid over one another as well as can be; 0 if too far."""
    windows = list(_windows(_SCALES))
    whole, crop = waves[asked[:, 0]], _unit(waves[asked[:, 1], :_FINE, :_FINE])
    small = [_unit(_shown(whole, window, _MEDIUM)) for window in windows]
    poses = [_unit(pose[:, :_MEDIUM, :_MEDIUM]) for pose in _poses(crop)]
    found = np.array([[_dots(view, pose) for view in small] for pose in poses])
    flat = found.reshape(-1, len(asked)).argmax(axis=0)
    pose, best = np.divmod(flat, len(windows))
    turned = np.stack(list(_poses(crop)))[pose, np.arange(len(asked))]
    cosine = np.zeros(len(asked))
    for number in np.unique(best):
        some = np.flatnonzero(best == number)
        cosine[some] = _fit(_span(whole[some], windows[number]), turned[some])
    return cosine


def _fit(span: NDArray[np.float64], pictures: Matrix) -> NDArray[np.float64]:
    """Cosine of pictures (m, 16, 16) with what spans (m, 5, 256) reach within the limit. (m,)."""
    target = pictures.reshape(len(pictures), -1).astype(np.float64)
    length = np.sqrt(np.einsum("mad,mad->ma", span, span)) + 1e-12
    base = span / length[..., None]
    product = base @ base.swapaxes(1, 2) + 1e-4 * np.eye(span.shape[1])
    seen = np.einsum("mad,md->ma", base, target)
    share = np.linalg.solve(product, seen[..., None])[..., 0]
    cosine = np.sqrt(np.maximum(np.einsum("ma,ma->m", share, seen), 0))
    share /= length
    moved = np.abs(share[:, 1:]).max(axis=1) / np.maximum(np.abs(share[:, 0]), 1e-12)
    reached: NDArray[np.float64] = np.where(moved <= _LIMIT, cosine, 0)
    return reached


def _span(whole: Matrix, window: Window) -> NDArray[np.float64]:
    """A window of pictures, and how it changes when it is moved and stretched. (m, 5, 256)."""
    down, moved_down, stretched_down = _cuts(window.scale, window.top)
    across, moved_across, stretched_across = _cuts(window.scale, window.left)
    views = [
        down @ whole @ across.T,
        *(changed @ whole @ across.T for changed in (moved_down, stretched_down)),
        *(down @ whole @ changed.T for changed in (moved_across, stretched_across)),
    ]
    span = np.stack([view.reshape(len(whole), -1) for view in views], axis=1).astype(np.float64)
    span[:, :, 0] = 0  # the mean
    return span


@lru_cache(maxsize=64)
def _cuts(scale: float, offset: float) -> tuple[Matrix, Matrix, Matrix]:
    """A window of a line of frequencies, and its derivatives by offset and by scale. (16, 32)."""
    cut, half = _cut(scale, offset)[:_FINE], _STEP / 2
    moved = _cut(scale, offset + _STEP) - _cut(scale, offset - _STEP)
    wider = _cut(scale + _STEP, offset - half) - _cut(scale - _STEP, offset + half)
    return cut, moved[:_FINE] / (2 * _STEP), wider[:_FINE] / (2 * _STEP)


def _cut(scale: float, offset: float) -> Matrix:
    """Frequencies of a window of a line, of the line's frequencies. (32, 32) float32."""
    cut: Matrix = np.matmul(_WAVES, np.matmul(_sampled(scale, offset), _WAVES.T))
    return cut


@lru_cache(maxsize=128)
def _sampled(scale: float, offset: float) -> Matrix:
    """Samples of a window of a line of pixels, between neighbours by their distance. (32, 32)."""
    place = (offset + scale * (np.arange(_SIDE) + 0.5) / _SIDE) * _SIDE - 0.5
    place = np.clip(place, 0, _SIDE - 1)
    left = np.minimum(place.astype(np.int64), _SIDE - 2)
    weights = np.zeros((_SIDE, _SIDE), np.float32)
    weights[np.arange(_SIDE), left] = 1 - (place - left)
    weights[np.arange(_SIDE), left + 1] += place - left
    return weights


def _windows(scales: tuple[float, ...]) -> Iterator[Window]:
    for scale in scales:
        offsets = np.linspace(0, 1 - scale, 3).tolist() if scale < 1 else [0.0]
        yield from (Window(scale, top, left) for top in offsets for left in offsets)


def _seen(rows: Vectors, window: Window) -> Vectors:
    """A window of each picture as a picture of its own, mean-removed and of unit length."""
    pictures = rows.reshape(-1, _SIDE, _SIDE)
    down, across = _sampled(window.scale, window.top), _sampled(window.scale, window.left)
    seen = (down @ pictures @ across.T).reshape(len(rows), -1)
    seen = seen - seen.mean(axis=1, keepdims=True)
    unit: Vectors = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-6)
    return unit


def _frequencies(rows: Vectors) -> Matrix:
    """Cosine transforms of the pictures, (n, 32, 32)."""
    found: Matrix = np.matmul(np.matmul(_WAVES, rows.reshape(-1, _SIDE, _SIDE)), _WAVES.T)
    return found


def _shown(whole: Matrix, window: Window, size: int) -> Matrix:
    """Low frequencies of a window of pictures, (m, size, size)."""
    down, across = _cuts(window.scale, window.top)[0], _cuts(window.scale, window.left)[0]
    shown: Matrix = np.matmul(np.matmul(down[:size], whole), across[:size].T)
    return shown


def _poses(waves: Matrix) -> Iterator[Matrix]:
    """The eight flips and rotations of pictures given by their frequencies."""
    sign = np.where(np.arange(waves.shape[1]) % 2, np.float32(-1), np.float32(1))
    for turned in (waves, waves.swapaxes(1, 2)):
        for first in (turned, turned * sign[:, None]):
            yield from (first, first * sign)


def _unit(waves: Matrix) -> Matrix:
    """Without the mean and of unit length."""
    bare = waves.copy()
    bare[:, 0, 0] = 0
    length = np.sqrt(np.einsum("mij,mij->m", bare, bare))
    unit: Matrix = bare / np.maximum(length, 1e-6)[:, None, None]
    return unit


def _dots(left: Matrix, right: Matrix) -> NDArray[np.float32]:
    dots: NDArray[np.float32] = np.einsum("mij,mij->m", left, right)
    return dots
