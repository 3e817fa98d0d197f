"""How far a window is from the reference: figures, with thresholds found by dealing the groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from monitoring import permutation
from monitoring.harm import Evidence
from monitoring.history import NOTHING_USUAL, Usual
from monitoring.permutation import Pair
from monitoring.windows import Observed
from neuro.features import descriptors
from neuro.promotion.drift_policy import DriftPolicy

DESCRIPTORS, FORMATS, FEATURES = "descriptors", "formats", "features"  # that need no label
CLASSES, CONFIDENCE = "classes", "confidence"  # likewise
INTAKE = "intake"  # a signal of counts, not of images
LABELLED, AUDITED = "labelled_accuracy", "audited_accuracy"  # signals that labels make
_STILL, _FAR = 1e-9, 4.0  # least deviation of a column, and the most deviations that count
_MOST_FORMATS = 20  # the commonest; all others are one
_TAIL = 0.025  # on either side of a 95 % interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One figure that is high when the window differs from the reference.

    dealt: threshold by dealing the groups; None where labels or counts make the signal.
    threshold: the same, or what harmless windows before had, if that is farther.
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
    dealt: float | None = None

    @property
    def has_moved(self) -> bool:
        """Whether the images are farther from the reference than chance, usual or not."""
        is_heard = self.dealt is not None and self.name != CONFIDENCE
        return is_heard and self.statistic > (self.dealt or 0.0)

    @property
    def is_usual(self) -> bool:
        """Whether that is within what harmless windows before lead to expect."""
        return self.has_moved and not self.alarm


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """Accuracy lost from the reference to the window's labelled samples, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.low:.1f} to {100 * self.high:.1f} points"


def unlabelled(
    reference: Observed,
    current: Observed,
    policy: DriftPolicy,
    rng: Generator,
    usual: Usual = NOTHING_USUAL,
) -> tuple[Signal, ...]:
    """The signals that need no label in the window. usual: how far harmless ones before it were.

    formats: largest difference of how often a size and pixel mode comes, in its deviations over the
    deals. features: length of the differences of means along the axes of the package, each in its
    own deviations over the deals. softmax and classes are black-box shift detection (Lipton et al.,
    arXiv:1802.03916; Rabanser et al., arXiv:1810.11953). confidence is average thresholded
    confidence (Garg et al., arXiv:2201.04234), which estimates the loss of accuracy: for reading,
    as a reference that is a little too sure would let it alarm each week.
    """
    values = np.concatenate((reference.descriptors, current.descriptors))
    seen = _standardised(np.concatenate((reference.features, current.features)))
    outputs = np.concatenate((reference.probabilities, current.probabilities))
    likeliest = np.eye(outputs.shape[1])[outputs.argmax(axis=1)]
    k = outputs.shape[1]
    classes = [f"class number {number} of {k} is the likeliest in" for number in range(1, k + 1)]
    names, kinds = _formats(reference.formats, current.formats)
    sure = _above_cut(np.concatenate((reference.confidence, current.confidence)), reference)
    statistics: dict[str, Callable[[Pair], NDArray[np.float64]]] = {  # each (t, columns)
        DESCRIPTORS: lambda pair: permutation.largest_gap(values, pair),
        FORMATS: lambda pair: permutation.difference(kinds, pair),
        FEATURES: lambda pair: permutation.difference(seen, pair),
        "softmax": lambda pair: permutation.largest_gap(outputs, pair),
        CLASSES: lambda pair: permutation.difference(likeliest, pair),
        CONFIDENCE: lambda pair: permutation.share_lost(sure, pair)[:, None],
    }
    null: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for pair in permutation.deal(reference.groups, current.groups, trials=policy.trials, rng=rng):
        for name, statistic in statistics.items():
            null[name].append(statistic(pair))
    sides = permutation.sides(reference.n, current.n)
    observed = {name: statistic(sides) for name, statistic in statistics.items()}
    shares, formats = (
        [side.mean(axis=0) for side in (each[: reference.n], each[reference.n :])]
        for each in (likeliest, kinds)
    )
    explanations = {
        DESCRIPTORS: _most_moved(observed[DESCRIPTORS][0], _descriptor_names(values.shape[1])),
        FORMATS: _mix(names, formats, observed[FORMATS] / _spread(null[FORMATS])),
        FEATURES: "what the model makes of the images has moved, before it answers",
        "softmax": _most_moved(observed["softmax"][0], _class_names(outputs.shape[1])),
        CLASSES: _mix(classes, shares, observed[CLASSES] / _spread(null[CLASSES])),
        CONFIDENCE: _loss(sure[: reference.n].mean(), sure[reference.n :].mean()),
    }
    found = []
    for name in statistics:
        dealt = np.concatenate(null[name])
        score = _score(name, dealt[: len(dealt) // 2])
        real, explanation = float(score(observed[name])[0]), explanations[name]
        limit = max(1.0, usual.limits.get(name, 1.0))
        found.append(_signal(name, real, score(dealt), explanation, policy, limit))
    return tuple(replace(each, alarm=each.alarm and each.name != CONFIDENCE) for each in found)


def _score(
    name: str, dealt: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """One figure of the (t, columns) of a signal, (t,). dealt: deals that tell the deviations."""
    if name not in (FEATURES, CLASSES, FORMATS):
        return lambda columns: columns.max(axis=1)
    spread = _spread([dealt])
    if name == FEATURES:
        return lambda columns: np.linalg.norm(columns / spread, axis=1)
    return lambda columns: np.abs(columns / spread).max(axis=1)


def _spread(dealt: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of each column over the deals; one that never moves says nothing."""
    spread = np.concatenate(dealt).std(axis=0)
    return np.where(spread > _STILL, spread, np.inf)


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column of (n, r) less its mean, in its deviations, and none farther than ``_FAR``."""
    spread = values.std(axis=0)
    centred = (values - values.mean(axis=0)) / np.where(spread > _STILL, spread, np.inf)
    standardised: NDArray[np.float64] = np.clip(centred, -_FAR, _FAR)
    return standardised


def _mix(
    names: Sequence[str], shares: Sequence[NDArray[np.float64]], gaps: NDArray[np.float64]
) -> str:
    """Which kind of image became more or less frequent most, by (1, c) gaps in deviations.

    shares: of each kind before and now, (c,) each.
    """
    most, (before, now) = int(np.abs(gaps[0]).argmax()), shares
    return f"{names[most]} {now[most]:.1%} of the images, in the reference {before[most]:.1%}"


def _formats(
    before: NDArray[np.str_], now: NDArray[np.str_]
) -> tuple[list[str], NDArray[np.float64]]:
    """The names of c formats, and 1 where an image has one, (n, c).

    An image whose format nobody noted counts as the mean of those of the reference.
    """
    every = np.concatenate((before, now))
    found, counts = np.unique(every[every != ""], return_counts=True)
    kept = found[np.argsort(-counts, kind="stable")][:_MOST_FORMATS]
    kinds = np.column_stack((every[:, None] == kept, ~np.isin(every, [*kept, ""])))
    has_one = kinds[: len(before)][before != ""]
    usual = has_one.mean(axis=0) if len(has_one) else np.zeros(kinds.shape[1])
    # A reference of which nothing is noted cannot be told from.
    shown: NDArray[np.float64] = np.where(
        (every[:, None] == "") | (len(has_one) == 0), usual, kinds
    )
    return [f"{name}, as it came, is" for name in (*kept, "another format")], shown


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


def labelled_accuracy(
    reference: Observed, labelled: Observed, policy: DriftPolicy, rng: Generator
) -> tuple[Signal, Drop]:
    """Reference accuracy minus that of the window's labelled samples, with its interval."""
    correct = np.concatenate((reference.correct, labelled.correct))
    real = float(permutation.share_lost(correct, permutation.sides(reference.n, labelled.n))[0])
    pairs = permutation.deal(reference.groups, labelled.groups, trials=policy.trials, rng=rng)
    null = np.concatenate([permutation.share_lost(correct, pair) for pair in pairs])
    before, now = (_redrawn_accuracy(side, policy, rng) for side in (reference, labelled))
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
    signal = _signal(LABELLED, real, null, explanation, policy)
    return replace(signal, alarm=signal.alarm and drop.low > 0), drop


def audited_accuracy(audited: Evidence, policy: DriftPolicy) -> Signal:
    """The wealth of who bets against the model at the labels of its audit samples."""
    threshold = 1 / policy.harm_alpha
    return Signal(
        name=AUDITED,
        statistic=audited.wealth,
        threshold=threshold,
        false_alarm_rate=policy.harm_alpha,
        alarm=audited.wealth >= threshold,
        explanation=f"{audited.n} labels of the audit samples of {audited.windows} windows, "
        f"weighted error rate of the last {audited.recent:.1%}; up to {audited.allowed:.1%} would "
        f"be no news. Who bets against the model made {audited.wealth:.3g} of 1; by chance it is "
        f"ever {threshold:g} in at most {policy.harm_alpha:.1%} of cases",
    )


def _unseen(side: Observed) -> tuple[float, float]:
    """How far below and above its figure the accuracy may lie where every answer was alike.

    Redrawing such groups gives the same figure each time; Clopper and Pearson's interval does not.
    """
    width = 1 - _TAIL ** (1 / side.n_groups)
    return (width if side.correct.all() else 0.0, 0.0 if side.correct.any() else width)


def _redrawn_accuracy(side: Observed, policy: DriftPolicy, rng: Generator) -> NDArray[np.float64]:
    weights = permutation.redraw(side.groups, trials=policy.trials, rng=rng)
    accuracy: NDArray[np.float64] = weights @ side.correct / weights.sum(axis=1)
    return accuracy


def _signal(
    name: str,
    statistic: float,
    null: NDArray[np.float64],
    explanation: str,
    policy: DriftPolicy,
    limit: float | None = None,
) -> Signal:
    """Threshold from the first half of (t,) no-shift trials, false-alarm rate from the second.

    limit: so many times as far is still usual; None where labels make the signal.
    """
    setting, measuring = np.array_split(null, 2)
    rank = int(np.ceil((len(setting) + 1) * (1 - policy.chance)))
    # 1e-12: a trial that equals the real comparison must not differ from it by rounding.
    dealt = float(np.sort(setting)[rank - 1]) + 1e-12
    threshold = dealt * (limit or 1.0)
    return Signal(
        name=name,
        statistic=statistic,
        threshold=threshold,
        false_alarm_rate=float((measuring > threshold).mean()),
        alarm=statistic > threshold,
        explanation=explanation,
        dealt=None if limit is None else dealt,
    )
