"""Whether a picture is turned: a linear look at the embedding, taught with turned pictures.

By the four quarter turns (Gidaris et al., arXiv:1803.07728). Only where a problem's own views turn
no further than a little: a skin lesion has no upright.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from neuro.uncertainty import out_of_scope
from neuro.uncertainty.out_of_scope import Floats

TURNS = 4  # quarter turns, 0 to 3
_LEAST = float(np.log(2))  # a picture that is rather upright than not is not turned
_C = 0.1  # of the regression: few pictures, many numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Upright:
    """A linear classifier of the quarter turn; without weights, every picture counts as upright.

    weights: (4, d). bias: (4,). threshold: the surprise at an upright picture that counts as 1.
    """

    weights: tuple[tuple[float, ...], ...] = ()
    bias: tuple[float, ...] = ()
    threshold: float = 1.0

    def scores(self, embeddings: Floats) -> NDArray[np.float64]:
        """Surprise at each embedding, (n, d), if it were upright, in units of the threshold."""
        if not self.weights:
            return np.zeros(len(embeddings))
        return _surprise(np.array(self.weights), np.array(self.bias), embeddings) / self.threshold


def fit(turned: Sequence[Floats], held_out: Floats) -> Upright:
    """From embeddings of the same pictures at each turn, and of others, upright, for the limit."""
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate(turned).astype(np.float64)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    turns = np.repeat(np.arange(TURNS), [len(some) for some in turned])
    model = LogisticRegression(C=_C, max_iter=300).fit((rows - mean) / deviation, turns)
    weights = model.coef_ / deviation
    bias = model.intercept_ - weights @ mean
    limit = out_of_scope.threshold(_surprise(weights, bias, held_out))
    return Upright(
        weights=tuple(_plain(row) for row in weights),
        bias=_plain(bias),
        threshold=_plain(np.array([max(limit, _LEAST)]))[0],
    )


def _plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Of a search that ends near the best, fewer digits than of what is computed."""
    return tuple(float(f"{value:.5g}") for value in values.tolist())


def _surprise(
    weights: NDArray[np.float64], bias: NDArray[np.float64], embeddings: Floats
) -> NDArray[np.float64]:
    return -np.asarray(log_softmax(embeddings @ weights.T + bias, axis=1)[:, 0])
