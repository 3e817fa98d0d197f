"""Maps on which images that are alike lie near one another: two principal components of a set."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Map:
    """Places of images. rows: (m,) int64, which images. points: (m, 2) float64.

    explained: share of the standardised variance along each of the two axes. n_fitted: images of
    the training split that the axes were found from.
    """

    name: str
    rows: NDArray[np.int64]
    points: NDArray[np.float64]
    explained: tuple[float, float]
    n_fitted: int


def draw(
    name: str,
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    fitted: NDArray[np.bool_],
) -> Map | None:
    """Standardise, find two principal components of the fitted rows alone, and place all.

    vectors: (m, d), of the images ``rows``, (m,). fitted: (m,), the training split: what is tested
    on must not shape what is looked at. None with fewer than three of them, or where fewer than two
    columns vary.
    """
    if fitted.sum() < 3:
        return None
    scaler = StandardScaler().fit(vectors[fitted].astype(np.float64))
    if (scaler.var_ > 0).sum() < 2:
        return None
    standardised = scaler.transform(vectors.astype(np.float64))
    model = PCA(n_components=2, svd_solver="covariance_eigh").fit(standardised[fitted])
    first, second = model.explained_variance_ratio_
    return Map(
        name=name,
        rows=rows,
        points=model.transform(standardised),
        explained=(float(first), float(second)),
        n_fitted=int(fitted.sum()),
    )


def thinned(whole: Map, n: int, seed: int) -> Map:
    """The map with at most n of its images, drawn by the seed."""
    kept = some(np.arange(len(whole.rows)), n, seed)
    return replace(whole, rows=whole.rows[kept], points=whole.points[kept])


def some(rows: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """At most n of the rows, drawn by the seed, in order."""
    if len(rows) <= n:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, n, replace=False))
