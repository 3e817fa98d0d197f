"""Pairs of pictures of which one is a mild crop of the other, in any pose.

A fast search (``crop_candidates``) finds for each picture the few that it may be a crop of. Each of
these pairs is then laid over one another as well as can be: in the best of eight poses, at the best
of some windows, and moved and stretched a little around it. All small moves and stretches are
covered at once, as the span of the window and its derivatives (tangent distance: P. Simard et al.,
NIPS 5, 1992).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates import crop_candidates, crop_windows
from neuro.duplicates.crop_windows import Matrix
from neuro.duplicates.pose_invariants import Vectors
from neuro.splits.assign import Pairs

COSINE = 0.99  # of low-passed pictures that are laid over one another
_SCALES = (0.95, 0.90)  # sides of the windows that are tried
_LIMIT = 0.04  # how far a window may be moved and stretched, as a share of the side
_COARSE, _FINE = 8, 16  # frequencies that the window is chosen by, and that decide
_PAIRS = 4096  # that are compared at once


def pairs(rows: Vectors, first: int, joined: NDArray[np.int64]) -> Pairs:
    """Pairs (i, j) of which at least one is ``first`` or later, one a crop of the other. (m, 2).

    rows: (n, 1024) mean-removed unit thumbnails. joined: (n,) cluster numbers; pairs within one
    cluster are left out. A crop shows 88 to 100 % of each side.
    """
    if first >= len(rows):
        return np.empty((0, 2), np.int64)
    candidates = crop_candidates.find(rows, first)
    candidates = candidates[joined[candidates[:, 0]] != joined[candidates[:, 1]]]
    waves = crop_windows.frequencies(rows)
    low_waves = waves[:, :_FINE, :_FINE]
    cosines = np.zeros(len(candidates))
    for start in range(0, len(candidates), _PAIRS):
        some = slice(start, start + _PAIRS)
        cosines[some] = _cosines(waves[candidates[some, 0]], low_waves[candidates[some, 1]])
    return np.unique(np.sort(candidates[cosines >= COSINE], axis=1), axis=0)


def _cosines(wholes: Matrix, crops: Matrix) -> NDArray[np.float64]:
    """Cosine of each crop with its whole, laid over it as well as can be; 0 if too far. (m,).

    In frequencies: wholes (m, 32, 32), crops (m, 16, 16).
    """
    windows = crop_windows.windows(_SCALES)
    poses = np.stack(list(_poses(_unit(crops))))  # (8, m, 16, 16)
    views = [_unit(crop_windows.cut_frequencies(wholes, window, _COARSE)) for window in windows]
    coarse_poses = [_unit(pose[:, :_COARSE, :_COARSE]) for pose in poses]
    likeness = np.stack([_dots(view, pose) for pose in coarse_poses for view in views])
    best_pose, best_window = np.divmod(likeness.argmax(axis=0), len(windows))
    turned = poses[best_pose, np.arange(len(crops))]
    cosines = np.zeros(len(crops))
    for number in np.unique(best_window):
        some = np.flatnonzero(best_window == number)
        spanned = crop_windows.tangents(wholes[some], windows[number], _FINE)
        cosines[some] = _moved_cosines(spanned, turned[some])
    return cosines


def _moved_cosines(spanned: NDArray[np.float64], pictures: Matrix) -> NDArray[np.float64]:
    """Cosine of each picture with the nearest combination of a window and its derivatives. (m,).

    spanned: (m, 5, 256), the window first. pictures: (m, 16, 16), of unit length. The factors of
    the derivatives, over that of the window, say how far it was moved and stretched: 0 for a
    picture where that is beyond the limit.
    """
    target = pictures.reshape(len(pictures), -1).astype(np.float64)
    length = np.sqrt(np.einsum("mad,mad->ma", spanned, spanned)) + 1e-12
    directions = spanned / length[..., None]
    # Least squares by the normal equations; the small ridge is for derivatives that are alike.
    products = directions @ directions.swapaxes(1, 2) + 1e-4 * np.eye(spanned.shape[1])
    along = np.einsum("mad,md->ma", directions, target)
    factors = np.linalg.solve(products, along[..., None])[..., 0]
    cosines = np.sqrt(np.maximum(np.einsum("ma,ma->m", factors, along), 0))
    factors = factors / length
    moves = np.abs(factors[:, 1:]).max(axis=1) / np.maximum(np.abs(factors[:, 0]), 1e-12)
    near: NDArray[np.float64] = np.where(moves <= _LIMIT, cosines, 0)
    return near


def _poses(waves: Matrix) -> Iterator[Matrix]:
    """The eight flips and rotations of pictures given by their frequencies, (m, k, k).

    A flip changes the sign of every second frequency in its direction.
    """
    signs = np.where(np.arange(waves.shape[1]) % 2, np.float32(-1), np.float32(1))
    for turned in (waves, waves.swapaxes(1, 2)):
        for flipped in (turned, turned * signs[:, None]):
            yield flipped
            yield flipped * signs


def _unit(waves: Matrix) -> Matrix:
    """Pictures in frequencies without their mean and of unit length."""
    bare = waves.copy()
    bare[:, 0, 0] = 0
    length = np.sqrt(np.einsum("mij,mij->m", bare, bare))
    unit: Matrix = bare / np.maximum(length, 1e-6)[:, None, None]
    return unit


def _dots(left: Matrix, right: Matrix) -> NDArray[np.float32]:
    dots: NDArray[np.float32] = np.einsum("mij,mij->m", left, right)
    return dots
