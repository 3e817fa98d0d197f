"""What makes a network's outputs honest: calibrated, able to abstain, aware of what it never saw.

Temperature: Guo et al. (2017), arXiv:1706.04599. Conformal sets: split conformal with the score
1 - p(true class), Sadinle et al. (2019), arXiv:1609.00451, and the finite-sample quantile of Vovk
et al. (2005): the true class is left out of the set of at most ``alpha`` of exchangeable samples.
Out of scope: Mahalanobis distance of the embedding (Lee et al. 2018, arXiv:1807.03888) with the
covariance of probabilistic PCA (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196): few
directions, one shared residual, so the reference stays small and needs few samples.

Few samples. Temperature stays 1 below ``MINIMUM``. The quantile needs (n + 1)(1 - alpha) <= n,
nine samples at alpha 0.1; below that every class stays in every set, so the model always abstains.
The out-of-scope threshold is the same quantile at ``OOD_ALPHA``; below 99 samples it is
``OOD_ROOM`` times the largest distance. One direction is kept per ten reference samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from neuro.errors import ConfigError

MINIMUM = 20
TEMPERATURES = (0.1, 10.0)
OOD_ALPHA = 0.01
OOD_ROOM = 1.25
MAX_AXES = 32
DIGITS = 7  # kept of each reference number: float32's own
FLOOR = 1e-3  # least variance of a direction, in units of the mean: far above what DIGITS drop
TINY = 1e-12

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Fitted on the calibration split; plain numbers, so it lives in JSON.

    conformal_quantile: a class stays in the set while 1 - p is at most this; 1 keeps all.
    ood_mean: (d,). ood_axes: (r, d), directions of the reference divided by their deviation.
    ood_residual: deviation outside those directions. ood_threshold: distance that counts as 1.
    n: samples it was fitted on.
    """

    temperature: float
    conformal_quantile: float
    alpha: float
    ood_mean: tuple[float, ...]
    ood_axes: tuple[tuple[float, ...], ...]
    ood_residual: float
    ood_threshold: float
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """Honest outputs, a row per sample.

    probabilities: (n, k) float64, rows sum to 1. conformal_sets: (n, k) bool, may be empty.
    ood_scores: (n,) float64 in units of the threshold; above 1 is out of scope.
    """

    probabilities: NDArray[np.float64]
    conformal_sets: NDArray[np.bool_]
    ood_scores: NDArray[np.float64]


def fit(
    logits: Floats,
    embeddings: Floats,
    targets: NDArray[np.int64],
    *,
    train_embeddings: Floats | None = None,
    alpha: float = 0.1,
) -> Calibration:
    """Fit on the calibration split: logits (n, k), embeddings (n, d), targets (n,).

    train_embeddings: (m, d), the reference of what is in scope; without it every other calibration
    sample is the reference and the rest set the threshold. alpha: share of samples whose true
    class may be missing from the set. Raises ConfigError for fewer than two samples.
    """
    _check(logits, embeddings, targets, alpha)
    temperature = _temperature(logits, targets)
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    misfit = 1 - probabilities[np.arange(len(targets)), targets]
    held_out = embeddings if train_embeddings is not None else embeddings[1::2]
    mean, axes, residual = _reference(
        train_embeddings if train_embeddings is not None else embeddings[::2]
    )
    distances = _distances(held_out, mean, axes, residual)
    threshold = _upper(distances, OOD_ALPHA, beyond=OOD_ROOM * float(distances.max()))
    return Calibration(
        temperature=_short(temperature),
        conformal_quantile=min(1.0, _upper(misfit, alpha, beyond=1.0)),
        alpha=alpha,
        ood_mean=tuple(_short(v) for v in mean),
        ood_axes=tuple(tuple(_short(v) for v in axis) for axis in axes),
        ood_residual=_short(residual),
        ood_threshold=max(threshold, TINY),
        n=len(targets),
    )


def apply(calibration: Calibration, logits: Floats, embeddings: Floats) -> Calibrated:
    """Turn a network's outputs, (n, k) and (n, d), into probabilities, sets and scope scores."""
    probabilities: NDArray[np.float64] = softmax(
        logits.astype(np.float64) / calibration.temperature, axis=1
    )
    distances = _distances(
        embeddings,
        np.asarray(calibration.ood_mean),
        np.asarray(calibration.ood_axes).reshape(-1, len(calibration.ood_mean)),
        calibration.ood_residual,
    )
    return Calibrated(
        probabilities=probabilities,
        conformal_sets=1 - probabilities <= calibration.conformal_quantile,
        ood_scores=distances / calibration.ood_threshold,
    )


def from_json(facts: Mapping[str, Any]) -> Calibration:
    """Build a Calibration from the plain lists and numbers of ``dataclasses.asdict``."""
    names = {entry.name for entry in fields(Calibration)}
    if set(facts) != names:
        raise ConfigError(f"calibration must hold exactly {sorted(names)}, got {sorted(facts)}")
    axes = tuple(tuple(axis) for axis in facts["ood_axes"])
    return Calibration(**{**facts, "ood_mean": tuple(facts["ood_mean"]), "ood_axes": axes})


def _check(logits: Floats, embeddings: Floats, targets: NDArray[np.int64], alpha: float) -> None:
    if not 0 < alpha < 0.5:
        raise ConfigError(f"alpha must be between 0 and 0.5, got {alpha}")
    if len(targets) < 2 or not len(targets) == len(logits) == len(embeddings):
        raise ConfigError(
            f"the calibration split needs two or more labelled samples with outputs, got "
            f"{len(targets)} targets, {len(logits)} logits, {len(embeddings)} embeddings"
        )
    if not (np.isfinite(logits).all() and np.isfinite(embeddings).all()):
        raise ConfigError("the network's outputs hold NaN or infinity; its training diverged")


def _temperature(logits: Floats, targets: NDArray[np.int64]) -> float:
    """The temperature of least negative log-likelihood, within ``TEMPERATURES``."""
    if len(targets) < MINIMUM:
        return 1.0
    exact, rows = logits.astype(np.float64), np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(exact / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, targets].mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES).tolist(), method="bounded")
    return float(np.exp(found.x))


def _upper(scores: NDArray[np.float64], alpha: float, *, beyond: float) -> float:
    """The ceil((n + 1)(1 - alpha))-th smallest score; ``beyond`` where n is too small for one."""
    # The rounding keeps (9 + 1) * 0.9 from becoming 9.000000000000002 and then 10.
    rank = int(np.ceil(np.round((len(scores) + 1) * (1 - alpha), 9)))
    return beyond if rank > len(scores) else float(np.sort(scores)[rank - 1])


def _reference(
    embeddings: Floats,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (d,), whitened principal axes (r, d), and the deviation left over."""
    n, d = embeddings.shape
    exact = embeddings.astype(np.float64)
    mean = exact.mean(axis=0)
    covariance = (exact - mean).T @ (exact - mean) / max(1, n - 1)
    total, r = float(np.trace(covariance)), min(MAX_AXES, n // 10, d)
    variances, directions = np.zeros(0), np.zeros((d, 0))
    if r:
        variances, directions = eigh(covariance, subset_by_index=[d - r, d - 1])
    left = (total - variances.sum()) / max(1, d - r)
    # A constant embedding has no spread to measure in: TINY keeps the distance finite.
    floor = max(float(left), FLOOR * total / d, TINY)
    axes = directions.T / np.sqrt(np.maximum(variances, floor))[:, None]
    return mean, axes, float(np.sqrt(floor))


def _distances(
    embeddings: Floats, mean: NDArray[np.float64], axes: NDArray[np.float64], residual: float
) -> NDArray[np.float64]:
    """Mahalanobis distances, (n,), under the low-rank covariance."""
    centred = embeddings.astype(np.float64) - mean
    whitened = centred @ axes.T
    # An axis is direction / deviation: dividing by its squared length gives deviation back.
    within = (whitened**2 / (axes**2).sum(axis=1)).sum(axis=1)
    outside = np.maximum((centred**2).sum(axis=1) - within, 0) / residual**2
    distances: NDArray[np.float64] = np.sqrt((whitened**2).sum(axis=1) + outside)
    return distances


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
