"""How far the pixels of a picture are from those that a model has learnt from.

Mahalanobis distance of ``picture_measures``, with the covariance shrunk a little to its diagonal;
the threshold is that of the embedding's distance, from pictures that were kept back. And where all
pictures are coloured, one without colour is of another kind: an X-ray, not a photograph.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.uncertainty import out_of_scope, picture_measures

SHRINK = 0.05
_GREY_ONES = 0.01  # share of pictures without colour that a kind of coloured ones may have
_TINY = 1e-3  # colour of a grey picture, so that its score is finite
_LEAST = 1 / 255  # deviation of a measure that is the same in all pictures

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureScope:
    """What pixels in scope look like: plain numbers of all pictures together, of none by itself.

    mean: of each measure. axes: rows that turn what is left into independent units. threshold: the
    distance that counts as 1. is_coloured: whether all but a few have colour. A package that is
    older than this has none of it: mean is ().
    """

    mean: tuple[float, ...] = ()
    axes: tuple[tuple[float, ...], ...] = ()
    threshold: float = 1.0
    is_coloured: bool = False

    def scores(self, frames: Frames, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Of ``rows`` of the frames, (n, side, side, channels), or of all, (m,); above 1 is odd."""
        if not self.mean:
            return np.zeros(len(frames) if rows is None else len(rows))
        measures = picture_measures.measure(frames, rows)
        scores = _distances(np.array(self.mean), np.array(self.axes), measures) / self.threshold
        if not self.is_coloured:
            return scores
        colours = picture_measures.colours(measures)
        return np.maximum(scores, picture_measures.GREY / np.maximum(colours, _TINY))


def fit(frames: Frames, in_scope: NDArray[np.int64], held_out: NDArray[np.int64]) -> PictureScope:
    """From rows of frames that are in scope, and others that set the threshold."""
    measures = picture_measures.measure(frames, in_scope)
    kept_back = picture_measures.measure(frames, held_out)
    mean, deviation = measures.mean(axis=0), np.maximum(measures.std(axis=0), _LEAST)
    standard = (measures - mean) / deviation
    covariance = standard.T @ standard / len(standard)
    covariance = (1 - SHRINK) * covariance + SHRINK * np.eye(len(covariance))
    axes = np.linalg.inv(np.linalg.cholesky(covariance)) / deviation
    return PictureScope(
        mean=out_of_scope.plain(mean),
        axes=tuple(out_of_scope.plain(axis) for axis in axes),
        threshold=_short(out_of_scope.threshold(_distances(mean, axes, kept_back))),
        is_coloured=_is_coloured(measures),
    )


def _short(value: float) -> float:
    return out_of_scope.plain(np.array([value]))[0]


def _is_coloured(measures: NDArray[np.float64]) -> bool:
    colours = picture_measures.colours(measures)
    return bool(len(colours)) and float((colours < picture_measures.GREY).mean()) <= _GREY_ONES


def _distances(
    mean: NDArray[np.float64], axes: NDArray[np.float64], measures: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((((measures - mean) @ axes.T) ** 2).sum(axis=1)))
