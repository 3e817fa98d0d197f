"""What makes a network's outputs honest: calibrated, able to abstain, aware of what it never saw.

Temperature: Guo et al. (2017), arXiv:1706.04599. A training that weights rare classes up says them
too often: an offset for each class, a multiple of the logarithm of its share, puts the shares back
(Alexandari et al. (2020), arXiv:1901.06852, with one number to fit in place of one for each class).
Below ``MINIMUM`` samples the temperature stays 1, and there are no offsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from neuro.errors import ConfigError
from neuro.uncertainty import conformal, out_of_scope
from neuro.uncertainty.out_of_scope import Floats, Reference
from neuro.uncertainty.picture_scope import PictureScope
from neuro.uncertainty.upright import Upright

MINIMUM = 20
ALPHA = 0.1  # share of samples whose true class may be missing from the conformal set
TEMPERATURES = (0.1, 10.0)
STRENGTHS = (0.0, 2.0)  # of the classes' shares in the offsets: 1 undoes inverse weights
LEAST_GAIN = 6.63  # of twice the log-likelihood, by which offsets must fit better
LEAST_OF_CLASS = 3  # samples of each class, or its share is not known enough to be put back
EMBEDDING, PICTURE, UPRIGHT = LOOKS = ("embedding", "picture", "upright")


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Fitted on the calibration split; plain numbers, so it lives in JSON.

    class_offsets: added to the logits after the temperature, (k,); () where none are needed.
    conformal_quantile: a class stays in the set while 1 - p is at most this; 1 keeps all.
    class_quantiles: the same of each class by itself, of one of too few samples that of all; () in
    a package of a format before 4. class_counts: samples of each class, (k,); () in a package of a
    format before 6, in which the one quantile decides.
    pictures, upright: two more looks at what is in scope; without content, they see nothing odd.
    ood_mean, ood_axes, ood_residual: the reference of what is in scope (``out_of_scope``).
    ood_threshold: distance from it that counts as 1. n: samples it was fitted on.
    """

    temperature: float
    conformal_quantile: float
    alpha: float
    ood_mean: tuple[float, ...]
    ood_axes: tuple[tuple[float, ...], ...]
    ood_residual: float
    ood_threshold: float
    n: int
    class_offsets: tuple[float, ...] = ()
    class_quantiles: tuple[float, ...] = ()
    class_counts: tuple[int, ...] = ()
    pictures: PictureScope = field(default_factory=PictureScope)
    upright: Upright = field(default_factory=Upright)

    @property
    def decides_by_class(self) -> bool:
        """Whether the quantile of each class decides, and not the one for all."""
        return bool(self.class_counts)

    @property
    def without_own_quantile(self) -> tuple[int, ...]:
        """Numbers of the classes of too few samples, of which by themselves nothing is promised."""
        least = conformal.fewest(self.alpha)
        return tuple(n for n, count in enumerate(self.class_counts) if count < least)

    @property
    def reference(self) -> Reference:
        """What is in scope."""
        mean = np.asarray(self.ood_mean)
        axes = np.asarray(self.ood_axes).reshape(-1, len(mean))
        return Reference(mean=mean, axes=axes, residual=self.ood_residual)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """Honest outputs, a row per sample.

    probabilities: (n, k) float64, rows sum to 1. balanced: the same before the classes' shares are
    put back; by these a sample is called, so that a rare class is not missed for being rare.
    conformal_sets: those that decide, (n, k) bool, may be empty. ood_scores: (n,) float64, the
    largest of the looks, each in units of its threshold; above 1 is out of scope. looks: what
    looked, ``LOOKS``, and its scores.
    marginal_sets: sets by one quantile for all classes, which decide in older packages.
    """

    probabilities: NDArray[np.float64]
    balanced: NDArray[np.float64]
    conformal_sets: NDArray[np.bool_]
    ood_scores: NDArray[np.float64]
    looks: Mapping[str, NDArray[np.float64]]
    marginal_sets: NDArray[np.bool_]

    @property
    def called(self) -> NDArray[np.int64]:
        """The class that each sample is called, (n,)."""
        return np.asarray(self.balanced.argmax(axis=1))

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """Which samples are answered, (n,)."""
        return answered(self.conformal_sets, self.ood_scores, self.called)

    def odd_by(self, row: int) -> tuple[str, float]:
        """The first look by which a sample is out of scope, with its score; "" and 0 for none.

        Their scores have no common scale, so that the largest is not the best reason.
        """
        scores = ((name, float(scores[row])) for name, scores in self.looks.items())
        return next(((name, score) for name, score in scores if score > 1), ("", 0.0))


def fit(
    logits: Floats,
    embeddings: Floats,
    targets: NDArray[np.int64],
    *,
    train_embeddings: Floats | None = None,
) -> Calibration:
    """Fit on the calibration split: logits (n, k), embeddings (n, d), targets (n,).

    Temperature, class offsets, quantiles and the reference of the embeddings.

    train_embeddings: (m, d), the reference of what is in scope; without it every other calibration
    sample is the reference and the rest set the threshold. Raises ConfigError for fewer than two
    samples.
    """
    _check(logits, embeddings, targets)
    temperature, offsets = _scaling(logits, targets)
    probabilities = _probabilities(logits, temperature, offsets)
    in_scope, held_out = train_embeddings, embeddings
    if in_scope is None:
        in_scope, held_out = embeddings[::2], embeddings[1::2]
    reference = out_of_scope.fit(in_scope)
    return Calibration(
        temperature=temperature,
        class_offsets=offsets,
        conformal_quantile=conformal.fit(probabilities, targets, ALPHA),
        alpha=ALPHA,
        ood_mean=tuple(_short(v) for v in reference.mean),
        ood_axes=tuple(tuple(_short(v) for v in axis) for axis in reference.axes),
        ood_residual=_short(reference.residual),
        ood_threshold=out_of_scope.threshold(reference.distances(held_out)),
        n=len(targets),
        class_quantiles=tuple(conformal.fit_by_class(probabilities, targets, ALPHA).tolist()),
        class_counts=tuple(np.bincount(targets, minlength=logits.shape[1]).tolist()),
    )


def apply(
    calibration: Calibration,
    logits: Floats,
    embeddings: Floats,
    frames: NDArray[np.uint8] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Calibrated:
    """Turn a network's outputs, (n, k) and (n, d), into probabilities, sets and scope scores.

    frames: of which the network saw ``rows``, or all, (m, side, side, channels); without them the
    pixels are not looked at, by any look.
    """
    balanced = balanced_of(calibration, logits)
    probabilities = _probabilities(logits, calibration.temperature, calibration.class_offsets)
    marginal = deciding = conformal.sets(probabilities, calibration.conformal_quantile)
    if calibration.decides_by_class:
        deciding = conformal.sets(probabilities, np.array(calibration.class_quantiles))
    looks = {EMBEDDING: calibration.reference.distances(embeddings) / calibration.ood_threshold}
    if frames is not None:
        looks[PICTURE] = calibration.pictures.scores(frames, rows)
    looks[UPRIGHT] = calibration.upright.scores(embeddings, frames, rows)
    return Calibrated(
        probabilities=probabilities,
        balanced=balanced,
        conformal_sets=deciding,
        ood_scores=np.max([*looks.values()], axis=0),
        looks=looks,
        marginal_sets=marginal,
    )


def balanced_of(calibration: Calibration, logits: Floats) -> NDArray[np.float64]:
    """Probabilities before the classes' shares are put back, (..., k) for (..., k)."""
    return _probabilities(logits, calibration.temperature)


def answered(
    conformal_sets: NDArray[np.bool_],
    ood_scores: NDArray[np.float64],
    called: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which samples are answered, (n,): those in scope of which only the called class is left."""
    only = conformal_sets.sum(axis=1) == 1
    return np.asarray((ood_scores <= 1) & only & conformal_sets[np.arange(len(called)), called])


def _check(logits: Floats, embeddings: Floats, targets: NDArray[np.int64]) -> None:
    if len(targets) < 2 or not len(targets) == len(logits) == len(embeddings):
        raise ConfigError(
            f"the calibration split needs two or more labelled samples with outputs, got "
            f"{len(targets)} targets, {len(logits)} logits, {len(embeddings)} embeddings"
        )
    if not (np.isfinite(logits).all() and np.isfinite(embeddings).all()):
        raise ConfigError("the network's outputs hold NaN or infinity; its training diverged")


def _probabilities(
    logits: Floats, temperature: float, offsets: Sequence[float] = ()
) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    probabilities: NDArray[np.float64] = softmax(scaled + np.array(offsets or 0.0), axis=-1)
    return probabilities


def _scaling(logits: Floats, targets: NDArray[np.int64]) -> tuple[float, tuple[float, ...]]:
    """Temperature and offsets of least negative log-likelihood; () where offsets gain too little.

    Offsets are a strength within ``STRENGTHS`` times the logarithm of the classes' shares. The gain
    counts samples of one group as if they were independent: a rule, and no test.
    """
    n, k = logits.shape
    if n < MINIMUM:
        return 1.0, ()
    without_offsets, loss_without = _temperature(logits, targets, np.zeros(k))
    counts = np.bincount(targets, minlength=k)
    if counts.min() < LEAST_OF_CLASS:
        return without_offsets, ()
    log_shares = np.log(counts / n)
    log_shares -= log_shares.mean()

    def loss(strength: float) -> float:
        return _temperature(logits, targets, strength * log_shares)[1]

    best = minimize_scalar(loss, bounds=STRENGTHS, method="bounded")
    if 2 * n * (loss_without - best.fun) < LEAST_GAIN:
        return without_offsets, ()
    offsets = best.x * log_shares
    return _temperature(logits, targets, offsets)[0], out_of_scope.plain(offsets)


def temperature_of(logits: Floats, targets: NDArray[np.int64]) -> float:
    """The temperature that fits logits (n, k) best, within ``TEMPERATURES``."""
    return _temperature(logits, targets, np.zeros(logits.shape[1]))[0]


def _temperature(
    logits: Floats, targets: NDArray[np.int64], offsets: NDArray[np.float64]
) -> tuple[float, float]:
    """The temperature of least mean negative log-likelihood, within ``TEMPERATURES``, and that."""
    exact, rows = logits.astype(np.float64), np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(exact / np.exp(log_temperature) + offsets, axis=1)
        return -float(scaled[rows, targets].mean())

    lowest = minimize_scalar(loss, bounds=np.log(TEMPERATURES).tolist(), method="bounded")
    return _short(float(np.exp(lowest.x))), float(lowest.fun)


def _short(value: float) -> float:
    return float(f"{value:.{out_of_scope.DIGITS}g}")
