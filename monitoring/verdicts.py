"""Is the current window like the reference, and if not, does it matter?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from monitoring import permutation
from monitoring.harm import Evidence
from monitoring.permutation import Pair
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.features import descriptors

Outcome = Literal["steady", "look", "label", "retrain", "inconclusive"]

LABELLED, AUDITED = "labelled_accuracy", "audited_accuracy"  # signals that labels make
_TAIL = 0.025  # on either side of a 95 % interval
_N_SIGNALS = 4  # the false-alarm budget is shared evenly, whether or not there are labels


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One figure that is high when the window differs from the reference.

    false_alarm_rate: share of no-shift trials above the threshold, of trials that did not set it.
    alarm: statistic above threshold; for labelled_accuracy the drop's interval is above 0 as well.
    For audited_accuracy the statistic is the wealth of who bets against the model, and the rate
    holds for all windows together, however often one looks.
    """

    name: str
    statistic: float
    threshold: float
    false_alarm_rate: float
    alarm: bool
    explanation: str

    @property
    def is_unlabelled(self) -> bool:
        """Whether it needs no label of the window."""
        return self.name not in (LABELLED, AUDITED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """Accuracy lost from the reference to the window's labelled samples, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.low:.1f} to {100 * self.high:.1f} points"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to do about a window: nothing, look at it, have it labelled, retrain, or wait."""

    window: str
    reference: str
    signals: tuple[Signal, ...]
    verdict: Outcome
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftConfig:
    """How sure to be. alpha: chance that any signal alarms on a window without a shift.

    trials: half set the thresholds, half measure their false alarms. min_groups: fewer in window or
    reference give no verdict. min_labelled_groups: fewer cannot prove harm. harm: the drop of
    accuracy that matters; only labels that exclude it show that there is none. audit: images of a
    window that readers are asked about, at most. harm_alpha: chance that audits ever show a harm
    that is none.
    """

    alpha: float = 0.02
    trials: int = 1000
    min_groups: int = 30
    min_labelled_groups: int = 30
    harm: float = 0.05
    audit: int = 40
    harm_alpha: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.harm < 1:
            raise ConfigError(f"harm must be between 0 and 1, got {self.harm}")
        for name in ("alpha", "harm_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.audit < 0:
            raise ConfigError(f"audit must be 0 or more, got {self.audit}")
        needed = int(np.ceil(2 * _N_SIGNALS / self.alpha))
        if self.trials < needed:
            raise ConfigError(
                f"trials must be at least {needed} for alpha {self.alpha}, got {self.trials}"
            )
        for name in ("min_groups", "min_labelled_groups"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, got {getattr(self, name)}")


def judge(
    reference: Observed, current: Observed, *, window: str, reference_name: str, config: DriftConfig
) -> Verdict:
    """Compare the current window with the labelled samples of the reference.

    window, reference_name: what the two are called. The same arguments give the same verdict.
    """
    reference, labelled = reference.labelled(), current.labelled()
    signals: tuple[Signal, ...] = ()
    drop: Drop | None = None
    if min(reference.n_groups, current.n_groups) >= config.min_groups:
        rng = np.random.default_rng(config.seed)
        signals = _unlabelled_signals(reference, current, config, rng)
        if labelled.n:
            signal, drop = _labelled_accuracy(reference, labelled, config, rng)
            signals = (*signals, signal)
    if labelled.n_groups < config.min_labelled_groups:
        drop = None  # so few groups do not measure it
    outcome, advice = _decide(signals, labelled.n_groups, drop, config)
    counts = (
        f"{current.n} images of {current.n_groups} groups against {reference.n} of "
        f"{reference.n_groups}"
    )
    return Verdict(
        window=window,
        reference=reference_name,
        signals=signals,
        verdict=outcome,
        reason=f"{advice} ({counts}).",
    )


def with_audits(verdict: Verdict, audited: Evidence, config: DriftConfig) -> Verdict:
    """The verdict once the labels of all audit samples so far are heard: harm they show is harm.

    However small the window is: they add up. What they do not show they do not exclude.
    """
    signal = _audited_accuracy(audited, config)
    heard = replace(verdict, signals=(*verdict.signals, signal))
    if not signal.alarm:
        return heard
    reason = f"Harm is measured: {signal.explanation}. {verdict.reason}"
    return replace(heard, verdict="retrain", reason=reason)


def _decide(
    signals: Sequence[Signal], labelled_groups: int, drop: Drop | None, config: DriftConfig
) -> tuple[Outcome, str]:
    """The verdict's rule. Alarm is not harm: only a drop measured on labels asks to retrain.

    drop: None where too few groups are labelled to measure it. That harm was not shown does not
    show that there is none: this takes an interval whose upper end is below what matters.
    """
    alarms = {signal.name: signal for signal in signals if signal.alarm}
    explanations = "; ".join(signal.explanation for signal in alarms.values())
    if not signals:
        return "inconclusive", f"Fewer than {config.min_groups} groups on one side: wait for more"
    if drop is not None and LABELLED in alarms:
        return "retrain", f"Harm is measured: {alarms[LABELLED].explanation}"
    is_excluded = drop is not None and drop.high < config.harm
    still_possible = (
        f"{labelled_groups} labelled groups do not exclude a loss of accuracy that matters "
        f"({100 * config.harm:g} points or more): the 95 % interval of the drop is {drop}"
    )
    if not alarms:
        doubt = "" if drop is None or is_excluded else f". But {still_possible}"
        return "steady", f"No signal is above its threshold{doubt}"
    if is_excluded:
        return "look", (
            f"Harm was suspected but {labelled_groups} labelled groups show none: the 95 % "
            f"interval of the drop in accuracy is {drop}, and {100 * config.harm:g} would matter. "
            f"{explanations}"
        )
    is_suspected = drop is not None and (drop.low > 0 or drop.value >= config.harm)
    if set(alarms) == {"descriptors"} and not is_suspected:
        doubt = "" if drop is None else f". But {still_possible}"
        return "look", f"The images changed, the model's answers did not: {explanations}{doubt}"
    if drop is not None:
        return "label", f"{still_possible}; label more groups to decide. {explanations}"
    return "label", (
        f"Harm is suspected: {explanations}. Only {labelled_groups} groups are labelled; "
        f"{config.min_labelled_groups} are needed to measure it"
    )


def _unlabelled_signals(
    reference: Observed, current: Observed, config: DriftConfig, rng: Generator
) -> tuple[Signal, ...]:
    """The three signals that need no label in the window.

    softmax is black-box shift detection (Lipton et al., arXiv:1802.03916; Rabanser et al.,
    arXiv:1810.11953); confidence is average thresholded confidence (Garg et al.,
    arXiv:2201.04234), which estimates the loss of accuracy.
    """
    values = np.concatenate((reference.descriptors, current.descriptors))
    outputs = np.concatenate((reference.probabilities, current.probabilities))
    sure = _above_cut(np.concatenate((reference.confidence, current.confidence)), reference)
    statistics: dict[str, Callable[[Pair], NDArray[np.float64]]] = {  # each (t, columns)
        "descriptors": lambda pair: permutation.largest_gap(values, pair),
        "softmax": lambda pair: permutation.largest_gap(outputs, pair),
        "confidence": lambda pair: permutation.share_lost(sure, pair)[:, None],
    }
    null: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for pair in permutation.deal(reference.groups, current.groups, trials=config.trials, rng=rng):
        for name, statistic in statistics.items():
            null[name].append(statistic(pair).max(axis=1))
    sides = permutation.sides(reference.n, current.n)
    observed = {name: statistic(sides)[0] for name, statistic in statistics.items()}
    explanations = {
        "descriptors": _most_moved(observed["descriptors"], _descriptor_names(values.shape[1])),
        "softmax": _most_moved(observed["softmax"], _class_names(outputs.shape[1])),
        "confidence": _loss(sure[: reference.n].mean(), sure[reference.n :].mean()),
    }
    return tuple(
        _signal(
            name,
            float(observed[name].max()),
            np.concatenate(null[name]),
            explanations[name],
            config,
        )
        for name in statistics
    )


def _descriptor_names(n: int) -> list[str]:
    known = descriptors.NAMES
    return list(known) if n == len(known) else [f"figure {number}" for number in range(n)]


def _class_names(n: int) -> list[str]:
    return [f"probability of class {number} of {n}" for number in range(1, n + 1)]


def _loss(before: float, now: float) -> str:
    return (
        f"answers as sure as the reference's accuracy requires went from {before:.1%} to "
        f"{now:.1%}, an estimated loss of {100 * (before - now):.1f} points of accuracy"
    )


def _above_cut(confidence: NDArray[np.float64], reference: Observed) -> NDArray[np.float64]:
    """1 where confidence, (n,), reaches the cut that leaves the reference's accuracy above it."""
    wrong = int((reference.correct == 0).sum())
    own = np.append(np.sort(confidence[: reference.n]), np.inf)
    sure: NDArray[np.float64] = (confidence >= own[wrong]).astype(np.float64)
    return sure


def _most_moved(gaps: NDArray[np.float64], names: Sequence[str]) -> str:
    return f"{names[int(gaps.argmax())]} moved most (Kolmogorov-Smirnov gap {gaps.max():.2f})"


def _labelled_accuracy(
    reference: Observed, labelled: Observed, config: DriftConfig, rng: Generator
) -> tuple[Signal, Drop]:
    """Reference accuracy minus that of the window's labelled samples, with its interval."""
    correct = np.concatenate((reference.correct, labelled.correct))
    real = float(permutation.share_lost(correct, permutation.sides(reference.n, labelled.n))[0])
    pairs = permutation.deal(reference.groups, labelled.groups, trials=config.trials, rng=rng)
    null = np.concatenate([permutation.share_lost(correct, pair) for pair in pairs])
    before, now = (_redrawn_accuracy(side, config, rng) for side in (reference, labelled))
    low, high = np.quantile(before - now, (_TAIL, 1 - _TAIL))
    (before_below, before_above), (now_below, now_above) = map(_unseen, (reference, labelled))
    drop = Drop(
        value=real,
        low=float(low) - before_below - now_above,
        high=float(high) + before_above + now_below,
    )
    explanation = (
        f"accuracy went from {reference.correct.mean():.1%} to {labelled.correct.mean():.1%} on "
        f"{labelled.n} labelled images of {labelled.n_groups} groups, a drop of {100 * real:.1f} "
        f"points, 95 % interval {drop}"
    )
    signal = _signal(LABELLED, real, null, explanation, config)
    return replace(signal, alarm=signal.alarm and drop.low > 0), drop


def _audited_accuracy(audited: Evidence, config: DriftConfig) -> Signal:
    threshold = 1 / config.harm_alpha
    return Signal(
        name=AUDITED,
        statistic=audited.wealth,
        threshold=threshold,
        false_alarm_rate=config.harm_alpha,
        alarm=audited.wealth >= threshold,
        explanation=f"{audited.n} labels of the audit samples of {audited.windows} windows, "
        f"weighted error rate of the last {audited.recent:.1%}; up to {audited.allowed:.1%} would "
        f"be no news. Who bets against the model made {audited.wealth:.3g} of 1; by chance it is "
        f"ever {threshold:g} in at most {config.harm_alpha:.1%} of cases",
    )


def _unseen(side: Observed) -> tuple[float, float]:
    """How far below and above its figure the accuracy may lie where every answer was alike.

    Redrawing such groups gives the same figure each time; Clopper and Pearson's interval does not.
    """
    width = 1 - _TAIL ** (1 / side.n_groups)
    return (width if side.correct.all() else 0.0, 0.0 if side.correct.any() else width)


def _redrawn_accuracy(side: Observed, config: DriftConfig, rng: Generator) -> NDArray[np.float64]:
    weights = permutation.redraw(side.groups, trials=config.trials, rng=rng)
    accuracy: NDArray[np.float64] = weights @ side.correct / weights.sum(axis=1)
    return accuracy


def _signal(
    name: str,
    statistic: float,
    null: NDArray[np.float64],
    explanation: str,
    config: DriftConfig,
) -> Signal:
    """Threshold from the first half of (t,) no-shift trials, false-alarm rate from the second."""
    setting, measuring = np.array_split(null, 2)
    rank = int(np.ceil((len(setting) + 1) * (1 - config.alpha / _N_SIGNALS)))
    # 1e-12: a trial that equals the real comparison must not differ from it by rounding.
    threshold = float(np.sort(setting)[rank - 1]) + 1e-12
    return Signal(
        name=name,
        statistic=statistic,
        threshold=threshold,
        false_alarm_rate=float((measuring > threshold).mean()),
        alarm=statistic > threshold,
        explanation=explanation,
    )
