"""Conformal sets: classes that cannot be ruled out, so that the true one is rarely missing.

Split conformal with the score 1 - p(true class), Sadinle et al. (2019), arXiv:1609.00451, and the
finite-sample quantile of Vovk et al. (2005): the true class is missing from the sets of at most
``alpha`` of exchangeable samples. The quantile needs (n + 1)(1 - alpha) <= n, nine samples at alpha
0.1; below that every class stays in every set, so the model always abstains. One quantile for all
keeps its promise over all samples only; one for each class (Mondrian) keeps it in each class that
has samples enough, and a class that has not takes that of all.
"""

import numpy as np
from numpy.typing import NDArray


def fit(
    probabilities: NDArray[np.float64],
    targets: NDArray[np.int64],
    alpha: float,
    *,
    if_too_few: float = 1.0,
) -> float:
    """The quantile for sets that lack the true class of at most ``alpha`` of the samples."""
    scores = 1 - probabilities[np.arange(len(targets)), targets]
    return min(1.0, upper_quantile(scores, alpha, if_too_few=if_too_few))


def fit_by_class(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64], alpha: float
) -> NDArray[np.float64]:
    """A quantile for each class, (k,); of a class of too few samples, that of all samples."""
    of_all = fit(probabilities, targets, alpha)
    of_classes = (targets == number for number in range(probabilities.shape[1]))
    return np.array(
        [fit(probabilities[rows], targets[rows], alpha, if_too_few=of_all) for rows in of_classes]
    )


def fewest(alpha: float) -> int:
    """The fewest samples that give a quantile."""
    return int(np.ceil(np.round((1 - alpha) / alpha, 9)))


def sets(
    probabilities: NDArray[np.float64], quantile: float | NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which classes are in the set of each sample, (n, k); a set may be empty.

    quantile: one for all, or of each class, (k,).
    """
    return np.asarray(1 - probabilities <= quantile)


def upper_quantile(scores: NDArray[np.float64], alpha: float, *, if_too_few: float) -> float:
    """The ceil((n + 1)(1 - alpha))-th smallest score, or another value where n is too small."""
    # The rounding keeps (9 + 1) * 0.9 from becoming 9.000000000000002 and then 10.
    rank = int(np.ceil(np.round((len(scores) + 1) * (1 - alpha), 9)))
    return if_too_few if rank > len(scores) else float(np.sort(scores)[rank - 1])
