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
from neuro.splits.draw_splits import Pairs

COSINE = 0.99  # of low-passed pictures that are laid over one another
_SCALES = (0.95, 0.90)  # sides of the windows that are tried
_LIMIT = 0.04  # how far a window may be moved and stretched, as a share of the side
_COARSE, _FINE = 8, 16  # frequencies that the window is chosen by, and that decide
_PAIRS = 1024  # that are compared at once
_ROUNDING = 1e-5


def pairs(rows: Vectors, first: int, joined: NDArray[np.int64]) -> Pairs:
    """Pairs (i, j) of which at least one is ``first`` or later, one a crop of the other. (m, 2).

    rows: (n, 1024) mean-removed unit thumbnails. joined: (n,) cluster numbers; pairs within one
    cluster are left out. A crop shows 88 to 100 % of each side.
    """
    if first >= len(rows):
        return np.empty((0, 2), np.int64)
    candidates = crop_candidates.find(rows, first)
    candidates = candidates[joined[candidates[:, 0]] != joined[candidates[:, 1]]]
    candidates = candidates[np.lexsort(candidates.T[::-1])]  # those of one whole together
    waves = crop_windows.frequencies(rows)
    cosines = np.zeros(len(candidates))
    for start in range(0, len(candidates), _PAIRS):
        some = slice(start, start + _PAIRS)
        cosines[some] = _cosines(waves, candidates[some])
    return np.unique(np.sort(candidates[cosines >= COSINE], axis=1), axis=0)


def _cosines(waves: Matrix, candidates: Pairs) -> NDArray[np.float64]:
    """Cosine of each crop with its whole, laid over it as well as can be; 0 if too far. (m,).

    waves: the pictures in frequencies, (n, 32, 32). candidates: (m, 2) rows, (whole, crop). The
    lowest frequencies choose window and pose. They also rule out most pairs: what a window and its
    derivatives cannot explain of them is a part of what they cannot explain of the whole picture.
    """
    wholes, whole_of = np.unique(candidates[:, 0], return_inverse=True)
    low_spans = crop_windows.all_tangents(waves[wholes], _SCALES, _COARSE)
    crops = _unit(waves[candidates[:, 1], :_FINE, :_FINE])
    low_poses = np.stack(list(_poses(crops[:, :_COARSE, :_COARSE])), axis=1)
    low_poses = low_poses.reshape(len(crops), 8, -1)
    best_window, best_pose = _best_overlay(low_spans[:, :, 0], whole_of, low_poses)
    low_crops = low_poses[np.arange(len(crops)), best_pose]
    _, explained = _nearest(low_spans[whole_of, best_window], low_crops)
    unexplained = np.einsum("md,md->m", low_crops, low_crops) - explained
    possible = unexplained <= 1 - COSINE**2 + _ROUNDING
    windows = crop_windows.windows(_SCALES)
    cosines = np.zeros(len(candidates))
    for number in np.unique(best_window[possible]):
        rows = np.flatnonzero(possible & (best_window == number))
        spanned = crop_windows.tangents(waves[candidates[rows, 0]], windows[number], _FINE)
        turned = np.stack(list(_poses(crops[rows])))[best_pose[rows], np.arange(len(rows))]
        cosines[rows] = _moved_cosines(spanned, turned)
    return cosines


def _best_overlay(
    views: Matrix, whole_of: NDArray[np.int64], poses: Matrix
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Window of the whole and pose of the crop that are most alike, for each pair. (m,), (m,).

    views: (k, windows, d), of any length. whole_of: (m,) rows of them. poses: (m, 8, d).
    """
    unit = views / np.maximum(np.linalg.norm(views, axis=2, keepdims=True), 1e-6)
    likeness = unit[whole_of] @ poses.swapaxes(1, 2)
    best = likeness.reshape(len(poses), -1).argmax(axis=1)
    return np.divmod(best, 8)


def _moved_cosines(spanned: NDArray[np.float64], pictures: Matrix) -> NDArray[np.float64]:
    """Cosine of each picture with the nearest combination of a window and its derivatives. (m,).

    spanned: (m, 5, 256), the window first. pictures: (m, 16, 16), of unit length. The factors of
    the derivatives, over that of the window, say how far it was moved and stretched: 0 for a
    picture where that is beyond the limit.
    """
    factors, reached = _nearest(spanned, pictures.reshape(len(pictures), -1))
    moves = np.abs(factors[:, 1:]).max(axis=1) / np.maximum(np.abs(factors[:, 0]), 1e-12)
    near: NDArray[np.float64] = np.where(moves <= _LIMIT, np.sqrt(np.maximum(reached, 0)), 0)
    return near


def _nearest(
    spanned: NDArray[np.floating], pictures: Matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The combination of rows (m, 5, d) that comes nearest to each picture, (m, d).

    Returns the factors of the rows, (m, 5), and the squared length of the combination, (m,).
    """
    rows, target = spanned.astype(np.float64), pictures.astype(np.float64)
    length = np.sqrt(np.einsum("mad,mad->ma", rows, rows)) + 1e-12
    directions = rows / length[..., None]
    # Least squares by the normal equations; the small ridge is for derivatives that are alike.
    products = directions @ directions.swapaxes(1, 2) + 1e-4 * np.eye(rows.shape[1])
    along = np.einsum("mad,md->ma", directions, target)
    factors = np.linalg.solve(products, along[..., None])[..., 0]
    return factors / length, np.einsum("ma,ma->m", factors, along)


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
