"""How far a picture is from what a model has learnt from: the distance of its embedding.

Mahalanobis distance of the embedding (Lee et al. 2018, arXiv:1807.03888) with the covariance of
probabilistic PCA (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196): few directions, and one
deviation for all others, so the reference stays small and needs few samples. One direction is kept
per ten samples. The threshold is a conformal quantile of distances at ``ALPHA``; below 299 samples
it is ``ROOM`` times the largest distance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from neuro.uncertainty import conformal

N_LOOKS = 3  # that decide what is in scope, of which any may say no
ALPHA = 0.01 / N_LOOKS
ROOM = 1.25
MAX_AXES = 32
FLOOR = 1e-3  # least variance of a direction, in units of the mean: far above rounding in JSON
TINY = 1e-12
DIGITS = 7  # kept of each reference number: float32's own, and the same wherever it is computed

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reference:
    """What embeddings in scope look like.

    mean: (d,). axes: (r, d), the directions of largest variance, each divided by its deviation.
    residual: deviation in every other direction.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    residual: float

    def along(self, embeddings: Floats) -> NDArray[np.float64]:
        """Where (n, d) embeddings lie on the axes, in deviations of what is in scope, (n, r)."""
        placed: NDArray[np.float64] = (embeddings.astype(np.float64) - self.mean) @ self.axes.T
        return placed

    def distances(self, embeddings: Floats) -> NDArray[np.float64]:
        """Mahalanobis distances of (n, d) embeddings, (n,)."""
        centred, along = embeddings.astype(np.float64) - self.mean, self.along(embeddings)
        # An axis is direction / deviation: dividing by its squared length gives deviation back.
        explained = (along**2 / (self.axes**2).sum(axis=1)).sum(axis=1)
        outside = np.maximum((centred**2).sum(axis=1) - explained, 0) / self.residual**2
        distances: NDArray[np.float64] = np.sqrt((along**2).sum(axis=1) + outside)
        return distances


def fit(embeddings: Floats) -> Reference:
    """The reference of (n, d) embeddings that are in scope."""
    n, d = embeddings.shape
    exact = embeddings.astype(np.float64)
    mean = exact.mean(axis=0)
    covariance = (exact - mean).T @ (exact - mean) / max(1, n - 1)
    total, n_axes = float(np.trace(covariance)), min(MAX_AXES, n // 10, d)
    variances, directions = np.zeros(0), np.zeros((d, 0))
    if n_axes:
        variances, directions = eigh(covariance, subset_by_index=[d - n_axes, d - 1])
    left = (total - variances.sum()) / max(1, d - n_axes)
    # A constant embedding has no spread to measure in: TINY keeps the distance finite.
    least = max(float(left), FLOOR * total / d, TINY)
    axes = directions.T / np.sqrt(np.maximum(variances, least))[:, None]
    return Reference(mean=mean, axes=axes, residual=float(np.sqrt(least)))


def plain(values: Floats) -> tuple[float, ...]:
    """Numbers as a package keeps them, (n,)."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values.tolist())


def threshold(distances: NDArray[np.float64]) -> float:
    """The distance that counts as 1, from distances of samples in scope."""
    if_too_few = ROOM * float(distances.max())
    return max(conformal.upper_quantile(distances, ALPHA, if_too_few=if_too_few), TINY)
