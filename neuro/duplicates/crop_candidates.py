"""Which pictures may be crops of which: a fast search that lets some wrong pairs through.

A crop moves and stretches a picture, which takes most of the likeness of two thumbnails. Two
measures give it back. The whole picture is seen as the middle of what its crops may show, and the
cosine is taken in a metric that weighs little what crops change: within-class whitening, with the
crops of one picture as a class (K. Fukunaga, Introduction to Statistical Pattern Recognition, 1990,
ch. 10).
"""

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates import crop_windows, near_pairs, pose_invariants
from neuro.duplicates.crop_windows import Matrix, Window
from neuro.duplicates.pose_invariants import Parts, Vectors
from neuro.splits.draw_splits import Pairs

_SCALES = (1.0, 0.95, 0.90)  # of the windows that the metric is learnt from
_MIDDLE = Window(0.94, (1 - 0.94) / 2, (1 - 0.94) / 2)
_RADIUS = 10  # of the frequencies that are compared
_CLOSEST = 12  # candidates of each picture
_SAMPLE = 1500  # pictures that the metric is learnt from
_RIDGE = 0.03


def find(rows: Vectors, first: int) -> Pairs:
    """Of each picture those that it may be a crop of, (m, 2) as (whole, crop).

    One of the two is ``first`` or later: the others were compared when they came.
    """
    metric = _learnt_metric(rows)
    wholes = _in_metric(metric, crop_windows.cut(rows, _MIDDLE))
    crops = _in_metric(metric, rows)

    def closest(block: slice, lowest: int) -> Pairs:
        possible = wholes[lowest:]
        columns, _ = near_pairs.closest(crops[block], possible, min(_CLOSEST, len(possible)))
        crop = np.repeat(np.arange(block.start, block.stop), columns.shape[1])
        return np.stack([columns.ravel() + lowest, crop], axis=1)

    of_old = near_pairs.each_block(lambda block: closest(block, first), 0, first)
    of_new = near_pairs.each_block(lambda block: closest(block, 0), first, len(rows))
    pairs = np.concatenate([*of_old, *of_new])
    apart: Pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return apart


def _learnt_metric(rows: Vectors) -> list[Matrix]:
    """A matrix for each part of a picture, which makes the differences between its crops small.

    Learnt from a sample of the (n, 1024) pictures, and windows of each. No pose mixes the parts
    (Schur's lemma), so that the metric is the same in every pose. The last two parts change places
    in some poses and share a matrix.
    """
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SAMPLE]
    sample = rows[np.sort(chosen)]
    middle = _unit_parts(crop_windows.cut(sample, _MIDDLE))
    scatters = [np.zeros((part.shape[1], part.shape[1])) for part in middle]
    for window in crop_windows.windows(_SCALES):
        view = _unit_parts(crop_windows.cut(sample, window))
        for scatter, seen, expected in zip(scatters, view, middle, strict=True):
            scatter += (seen - expected).T @ (seen - expected)
    *unmixed, even_first, odd_first = scatters
    scatters = [*unmixed, (even_first + odd_first) / 2]
    mean_variance = np.mean(np.concatenate([np.diag(scatter) for scatter in scatters]))
    ridge = _RIDGE * mean_variance + 1e-12
    roots = [_inverse_root(scatter + ridge * np.eye(len(scatter))) for scatter in scatters]
    return [*roots, roots[-1]]


def _in_metric(metric: list[Matrix], rows: Vectors) -> Parts:
    """Pictures in the metric, each of unit length, so that products are cosines."""
    parts = pose_invariants.split(rows, _RADIUS)
    moved = [part @ root for part, root in zip(parts.coefficients, metric, strict=True)]
    squares = sum(np.einsum("ij,ij->i", part, part) for part in moved)
    length = np.sqrt(np.maximum(squares, 1e-12))[:, None].astype(np.float32)
    return Parts(tuple(part / length for part in moved), np.zeros_like(parts.rest))


def _unit_parts(rows: Vectors) -> list[Vectors]:
    """The six parts of pictures, scaled so that their low frequencies have unit length."""
    parts = pose_invariants.split(rows, _RADIUS)
    length: Vectors = np.sqrt(np.maximum(1 - parts.rest**2, np.float32(1e-6)))
    return [part / length for part in parts.coefficients]


def _inverse_root(matrix: NDArray[np.float64]) -> Matrix:
    values, vectors = np.linalg.eigh(matrix)
    root: Matrix = ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)
    return root
