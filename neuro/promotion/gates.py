"""Whether a challenger takes the champion's place: gates with numbers, never a bare comparison.

Non-inferiority by the interval's lower end against a margin: Piaggio et al. (2012, CONSORT),
doi:10.1001/jama.2012.87802. Both models answer the same samples, and the difference is resampled
by group (neuro.evaluation.metrics).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuro.errors import ConfigError
from neuro.evaluation import metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.models.package import Card
from neuro.sample import Metric

METRIC = "macro_f1"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionConfig:
    """What a challenger must show.

    margin: loss of macro-F1 that still counts as no worse. recent_must_improve: on the newly
    labelled samples the challenger must be shown better, not only no worse.
    """

    margin: float = 0.05
    recent_must_improve: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise ConfigError(f"promotion.margin must be between 0 and 0.5, got {self.margin}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One condition: ``value`` with its 95 % interval against ``threshold``."""

    name: str
    value: float
    low: float
    high: float
    threshold: float
    passed: bool
    explanation: str

    @property
    def is_refuted(self) -> bool:
        """Not only unproven: the whole interval lies below the threshold."""
        return not self.passed and self.high < self.threshold


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Promote the challenger, keep what serves, or inconclusive: which is not promoted either."""

    decision: Literal["promote", "keep", "inconclusive"]
    gates: tuple[Gate, ...]
    reason: str


def require_own_splits(card: Card) -> None:
    """Raise ConfigError for a package whose training images may be in the test split of the gate.

    What serves is chosen on the lake's permanent splits alone.
    """
    if card.splitting != "own":
        said = f" ({card.leak})" if card.leak else ""
        raise ConfigError(
            f"the package was trained with --split {card.splitting}{said}, and the gate reads the "
            "lake's own test split, where its training images may be; train one without --split"
        )


def decide(
    challenger: Evaluation,
    champion: Evaluation | None,
    *,
    recall_floors: Mapping[str, float],
    config: PromotionConfig,
    recent: tuple[Evaluation, Evaluation] | None = None,
) -> Decision:
    """Judge the challenger by its evaluation on the test split.

    recall_floors: of the problem, by class. recent: (challenger, champion) on newly labelled
    samples. Without a champion the challenger must beat always naming the largest class, and is
    promoted or not: there is nothing to keep. Raises ConfigError where two evaluations that are
    compared are not of the same samples in the same order.
    """
    gates = [_recall_floor(challenger, name, floor) for name, floor in recall_floors.items()]
    if champion is None:
        gates.insert(0, _above_chance(challenger))
    else:
        gates.insert(0, _no_worse(challenger, champion, config.margin))
    if recent is not None:
        gates.append(_recent(*recent, config))
    refuted = [gate.name for gate in gates if gate.is_refuted]
    unproven = [gate.name for gate in gates if not gate.passed]
    if not unproven:
        verdict: Literal["promote", "keep", "inconclusive"] = "promote"
        reason = f"all {len(gates)} gates passed"
    elif refuted or champion is None:
        verdict, reason = "keep", f"failed: {', '.join(refuted or unproven)}"
    else:
        verdict = "inconclusive"
        reason = f"not shown: {', '.join(unproven)}; more labelled groups would decide"
    return Decision(decision=verdict, gates=tuple(gates), reason=reason)


def _no_worse(challenger: Evaluation, champion: Evaluation, margin: float) -> Gate:
    found = _difference(challenger, champion)
    return _gate(
        "no_worse_on_test",
        found,
        threshold=-margin,
        passed=found.low > -margin,
        explanation=f"macro-F1 challenger minus champion on the same {found.n} test samples, "
        f"{found.groups} groups; the interval must lie above -{margin:g}",
    )


def _recent(challenger: Evaluation, champion: Evaluation, config: PromotionConfig) -> Gate:
    found = _difference(challenger, champion)
    threshold = 0.0 if config.recent_must_improve else -config.margin
    standing = "shown better" if found.low > 0 else "not shown better"
    return _gate(
        "better_on_recent" if config.recent_must_improve else "no_worse_on_recent",
        found,
        threshold=threshold,
        passed=found.low > threshold,
        explanation=f"macro-F1 challenger minus champion on the same {found.n} newly labelled "
        f"samples, {found.groups} groups: {standing}; the interval must lie above {threshold:g}",
    )


def _above_chance(challenger: Evaluation) -> Gate:
    accuracy = challenger.metric("accuracy")
    if accuracy is None:
        raise ConfigError("the challenger's evaluation holds no accuracy; run evaluate again")
    share = float(challenger.confusion.sum(axis=1).max() / challenger.confusion.sum())
    return _gate(
        "above_chance",
        accuracy,
        threshold=share,
        passed=accuracy.low > share,
        explanation=f"accuracy must lie above {share:.3f}, that of always naming the largest class",
    )


def _recall_floor(challenger: Evaluation, name: str, floor: float) -> Gate:
    """Fails when the whole interval is below the floor, or when nothing can be said of it."""
    found = challenger.metric(f"recall_{name}")
    if found is None:
        unknown = Metric(name=name, value=0.0, low=0.0, high=1.0, n=0, groups=0)
        text = f"no {name} among the test samples, so its recall cannot be shown"
        return _gate(
            f"recall_floor_{name}", unknown, threshold=floor, passed=False, explanation=text
        )
    return _gate(
        f"recall_floor_{name}",
        found,
        threshold=floor,
        passed=found.high >= floor,
        explanation=f"recall of {name} on {found.n} samples must not lie wholly below {floor:g}",
    )


def _difference(challenger: Evaluation, champion: Evaluation) -> Metric:
    same = challenger.classes == champion.classes and all(
        np.array_equal(getattr(challenger, name), getattr(champion, name))
        for name in ("sample_ids", "groups", "targets")
    )
    if not same:
        raise ConfigError(
            "challenger and champion were evaluated on different samples, labels or classes; "
            "evaluate both on the same release and split"
        )
    pair = (challenger.probabilities, champion.probabilities)
    return metrics.difference(METRIC, pair, challenger.targets, challenger.groups)


def _gate(name: str, found: Metric, *, threshold: float, passed: bool, explanation: str) -> Gate:
    return Gate(
        name=name,
        value=found.value,
        low=found.low,
        high=found.high,
        threshold=threshold,
        passed=passed,
        explanation=explanation,
    )
