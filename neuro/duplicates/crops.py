"""Pairs of pictures of which one is a mild crop of the other, in any pose.

A fast search (``crop_candidates``) finds for each picture the few that it may be a crop of. Each of
these pairs is then laid over one another as well as can be: in the best of eight poses, at the best
of some windows, and moved and stretched a little around it. All small moves and stretches are
covered at once, as the span of the window and its derivatives (tangent distance: P. Simard et al.,
NIPS 5, 1992).
"""

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates import crop_candidates, crop_windows, near_pairs
from neuro.duplicates.crop_windows import Matrix
from neuro.duplicates.pose_invariants import Vectors
from neuro.splits.draw_splits import Pairs

COSINE = 0.99  # of low-passed pictures that are laid over one another
_SCALES = (0.95, 0.90)  # sides of the windows that are tried
_LIMIT = 0.04  # how far a window may be moved and stretched, as a share of the side
_COARSE, _FINE = 8, 16  # frequencies that the window is chosen by, and that decide
_PAIRS = 1024  # that are compared at once
_ROUNDING = 1e-5

Rows = NDArray[np.int64]


def pairs(rows: Vectors, first: int, joined: Rows) -> Pairs:
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
    confirmed = [np.empty((0, 2), np.int64)]
    for rows_of_some in near_pairs.slices(0, len(candidates), _PAIRS):
        some = candidates[rows_of_some]
        confirmed.append(some[_overlay_cosines(waves, some) >= COSINE])
    return np.unique(np.sort(np.concatenate(confirmed), axis=1), axis=0)


def _overlay_cosines(waves: Matrix, candidates: Pairs) -> NDArray[np.float64]:
    """Cosine of each crop with its whole, laid over it as well as can be; 0 if too far. (m,).

    waves: the pictures in frequencies, (n, 32, 32). candidates: (m, 2) rows, (whole, crop). The
    lowest frequencies choose the window of the whole and the pose of the crop, and rule out most
    pairs; a few more frequencies decide.
    """
    crops = _unit(waves[candidates[:, 1], :_FINE, :_FINE])
    wholes, whole_of = np.unique(candidates[:, 0], return_inverse=True)
    window_of, turned, is_possible = _best_overlays(waves[wholes], whole_of, crops)
    cosines = np.zeros(len(crops))
    for number, window in enumerate(crop_windows.windows(_SCALES)):
        rows = np.flatnonzero(is_possible & (window_of == number))
        tangents = crop_windows.tangents(waves[candidates[rows, 0]], window, _FINE)
        cosines[rows] = _moved_cosines(tangents, turned[rows])
    return cosines


def _best_overlays(
    wholes: Matrix, whole_of: Rows, crops: Matrix
) -> tuple[Rows, Matrix, NDArray[np.bool_]]:
    """How each crop lies over its whole best, by the lowest frequencies.

    wholes: in frequencies. whole_of: their row for each crop, (m,). crops: (m, 16, 16). Returns
    the number of the window, (m,), the crop in the best pose, (m, 16, 16), and whether the pair is
    possible, (m,): what a window and its derivatives cannot explain of the lowest frequencies is a
    part of what they cannot explain of the crop.
    """
    m, each = len(crops), np.arange(len(crops))
    poses = _poses(crops)
    low_poses = poses[:, :, :_COARSE, :_COARSE].reshape(m, 8, -1)
    tangents = crop_windows.all_tangents(wholes, _SCALES, _COARSE)
    views = tangents[:, :, 0]
    unit_views = views / np.maximum(np.linalg.norm(views, axis=2, keepdims=True), 1e-6)
    cosines = unit_views[whole_of] @ low_poses.swapaxes(1, 2)  # (m, windows, poses)
    window, pose = np.divmod(cosines.reshape(m, -1).argmax(axis=1), 8)
    low_crops = low_poses[each, pose]
    _, explained = _nearest(tangents[whole_of, window], low_crops)
    unexplained = np.einsum("md,md->m", low_crops, low_crops) - explained
    return window, poses[each, pose], unexplained <= 1 - COSINE**2 + _ROUNDING


def _moved_cosines(tangents: NDArray[np.float64], pictures: Matrix) -> NDArray[np.float64]:
    """Cosine of each picture with the nearest combination of a window and its derivatives. (m,).

    tangents: (m, 5, 256), the window first. pictures: (m, 16, 16), of unit length. The factors of
    the derivatives, over that of the window, say how far it was moved and stretched: 0 for a
    picture where that is beyond the limit.
    """
    factors, explained = _nearest(tangents, pictures.reshape(-1, _FINE**2))
    moves = np.abs(factors[:, 1:]).max(axis=1) / np.maximum(np.abs(factors[:, 0]), 1e-12)
    cosines = np.sqrt(np.maximum(explained, 0))
    cosines[moves > _LIMIT] = 0
    return cosines


def _nearest(
    tangents: NDArray[np.floating], pictures: Matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The combination of tangents (m, 5, d) that comes nearest to each picture, (m, d).

    Returns the factors of the tangents, (m, 5), and the squared length of the combination, (m,).
    """
    rows, target = tangents.astype(np.float64), pictures.astype(np.float64)
    length = np.sqrt(np.einsum("mad,mad->ma", rows, rows)) + 1e-12
    directions = rows / length[..., None]
    # Least squares by the normal equations; the small ridge is for derivatives that are alike.
    products = directions @ directions.swapaxes(1, 2) + 1e-4 * np.eye(rows.shape[1])
    along = np.einsum("mad,md->ma", directions, target)
    factors = np.linalg.solve(products, along[..., None])[..., 0]
    return factors / length, np.einsum("ma,ma->m", factors, along)


def _poses(waves: Matrix) -> Matrix:
    """The eight flips and rotations of pictures given by their frequencies, (m, 8, k, k).

    A flip changes the sign of every second frequency in its direction.
    """
    signs = np.where(np.arange(waves.shape[1]) % 2, np.float32(-1), np.float32(1))
    poses = []
    for turned in (waves, waves.swapaxes(1, 2)):
        upside_down = turned * signs[:, None]
        poses += [turned, turned * signs, upside_down, upside_down * signs]
    return np.stack(poses, axis=1)


def _unit(waves: Matrix) -> Matrix:
    """Pictures in frequencies without their mean and of unit length."""
    bare = waves.copy()
    bare[:, 0, 0] = 0
    length = np.sqrt(np.einsum("mij,mij->m", bare, bare))
    unit: Matrix = bare / np.maximum(length, 1e-6)[:, None, None]
    return unit
