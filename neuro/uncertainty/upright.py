"""Whether a picture is turned: a linear look at its gradients, taught with turned pictures.

By the four quarter turns (Gidaris et al., arXiv:1803.07728). Only where a problem's own views turn
no further than a little: a skin lesion has no upright. A mirrored picture is not seen. A network's
embedding is a worse witness: it is pooled over all places.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from neuro.uncertainty import gradient_histograms, out_of_scope
from neuro.uncertainty.out_of_scope import Floats

TURNS = 4  # quarter turns, 0 to 3
EMBEDDING, GRADIENTS = SEEN = ("embedding", "gradients")
_LEAST = float(np.log(2))  # a picture that is rather upright than not is not turned
_C = 1e-3  # of the regression: few pictures, many numbers

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upright:
    """A linear classifier of the quarter turn; without weights, every picture counts as upright.

    weights: (4, d). bias: (4,). threshold: the surprise, in nats, at an upright picture that counts
    as 1. sees: what of a picture, "gradients", or "embedding" in a package of format 5.
    """

    weights: tuple[tuple[float, ...], ...] = ()
    bias: tuple[float, ...] = ()
    threshold: float = 1.0
    sees: str = EMBEDDING

    def scores(
        self, embeddings: Floats, frames: Frames | None, rows: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Surprise at each picture, (n,), if it were upright, in units of the threshold.

        embeddings: (n, d). frames: of which ``rows`` or all are asked about, (m, side, side,
        channels); a look at the gradients without frames calls none turned.
        """
        seen = embeddings if self.sees == EMBEDDING else None
        if self.sees == GRADIENTS and frames is not None:
            seen = gradient_histograms.describe(frames, rows)
        if not self.weights or seen is None:
            return np.zeros(len(embeddings))
        return _surprise(np.array(self.weights), np.array(self.bias), seen) / self.threshold


def fit(frames: Frames, in_scope: NDArray[np.int64], held_out: NDArray[np.int64]) -> Upright:
    """From rows of frames, (m, side, side, channels), that are upright, and are turned here.

    held_out: other rows, upright, that set the limit.
    """
    from sklearn.linear_model import LogisticRegression

    plain = gradient_histograms.describe(frames, in_scope)
    seen = np.concatenate([gradient_histograms.turned(plain, turns) for turns in range(TURNS)])
    seen = seen.astype(np.float64)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    turns = np.repeat(np.arange(TURNS), len(plain))
    model = LogisticRegression(C=_C, max_iter=300).fit((seen - mean) / deviation, turns)
    weights = model.coef_ / deviation
    bias = model.intercept_ - weights @ mean
    others = gradient_histograms.describe(frames, held_out)
    limit = out_of_scope.threshold(_surprise(weights, bias, others))
    return Upright(
        weights=tuple(_plain(row) for row in weights),
        bias=_plain(bias),
        threshold=_plain(np.array([max(limit, _LEAST)]))[0],
        sees=GRADIENTS,
    )


def _plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Of a search that ends near the best, fewer digits than of what is computed."""
    return tuple(float(f"{value:.5g}") for value in values.tolist())


def _surprise(
    weights: NDArray[np.float64], bias: NDArray[np.float64], seen: Floats
) -> NDArray[np.float64]:
    return -np.asarray(log_softmax(seen @ weights.T + bias, axis=1)[:, 0])
