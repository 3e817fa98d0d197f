"""Whether a challenger takes the champion's place: gates with numbers, never a bare comparison.

Non-inferiority by the interval's lower end against a margin: Piaggio et al. (2012, CONSORT),
doi:10.1001/jama.2012.87802. Both models answer the same samples, and the difference is resampled
by group (neuro.evaluation.metrics).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.evaluation import evaluate, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.models.package import Card
from neuro.promotion import answer_gates, gate
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.gate import Gate
from neuro.sample import Metric

METRIC = "macro_f1"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionConfig:
    """What a challenger must show.

    margin: loss of macro-F1 that still counts as no worse. recent_must_improve: on the newly
    labelled samples the challenger must be shown better, not only no worse. answered_margin,
    coverage_margin, stranger_margin: loss of the share answered, of sets with the true class, and
    of drawn pictures of no problem that get no answer. log_loss_margin: gain of log loss, in nats.
    """

    margin: float = 0.05
    recent_must_improve: bool = False
    answered_margin: float = 0.1
    coverage_margin: float = 0.05
    log_loss_margin: float = 0.1
    stranger_margin: float = 0.05

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "recent_must_improve" and not 0 < value < 0.5:
                raise ConfigError(f"promotion.{name} must be between 0 and 0.5, got {value}")


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
        leak = f" ({card.leak})" if card.leak else ""
        raise ConfigError(
            f"the package was trained with --split {card.splitting}{leak}, and the gate reads the "
            "lake's own test split, where its training images may be; train one without --split"
        )


def decide(
    challenger: Evaluation,
    champion: Evaluation | None,
    *,
    recall_floors: Mapping[str, float],
    config: PromotionConfig,
    known: NDArray[np.bool_] | None = None,
    strangers: Strangers | None = None,
    best: Evaluation | None = None,
) -> Decision:
    """Judge the challenger by its evaluation on the test split.

    recall_floors: of the problem, by class. known: (n,) of the test samples, whether the champion's
    release had them, default all; the newly labelled others are a gate of their own. strangers:
    what both answer of drawn pictures. best: of the best earlier champion, so that many small steps
    down do not add up. Without a champion the challenger must beat always naming the largest class,
    and is promoted or not: there is nothing to keep. Raises ConfigError where two evaluations that
    are compared are not of the same samples in the same order.
    """
    recent = None
    if champion is not None and known is not None and not known.all():
        recent = _recent(challenger.take(~known), champion.take(~known), config)
        challenger, champion = challenger.take(known), champion.take(known)
        best = best.take(known) if best is not None else None
    gates = [_recall_floor(challenger, name, floor) for name, floor in recall_floors.items()]
    if champion is None:
        gates.insert(0, _above_chance(challenger))
    else:
        gates.insert(0, _no_worse(challenger, champion, config.margin))
        if best is not None:
            gates.insert(1, _no_worse_than_best(challenger, best, config.margin))
        gates += answer_gates.compare(
            challenger,
            champion,
            answered_margin=config.answered_margin,
            coverage_margin=config.coverage_margin,
            log_loss_margin=config.log_loss_margin,
        )
    if strangers is not None and champion is not None:
        gates.append(answer_gates.of_strangers(strangers, config.stranger_margin))
    if recent is not None:
        gates.append(recent)
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
    difference = _difference(challenger, champion)
    return _difference_gate("no_worse_on_test", difference, threshold=-margin, samples="test")


def _no_worse_than_best(challenger: Evaluation, best: Evaluation, margin: float) -> Gate:
    return _difference_gate(
        "no_worse_than_best",
        _difference(challenger, best),
        threshold=-margin,
        samples="test",
        other=f"version {best.model_version}, the best that served,",
    )


def _recent(challenger: Evaluation, champion: Evaluation, config: PromotionConfig) -> Gate:
    """On the newly labelled samples: no worse than by the margin or, where asked for, better.

    Either way its explanation says whether the challenger was shown to be better.
    """
    name, threshold = "no_worse_on_recent", -config.margin
    if config.recent_must_improve:
        name, threshold = "better_on_recent", 0.0
    difference = _difference(challenger, champion)
    remark = ": shown better" if difference.low > 0 else ": not shown better"
    return _difference_gate(
        name, difference, threshold=threshold, samples="newly labelled", remark=remark
    )


def _difference_gate(
    name: str,
    difference: Metric,
    *,
    threshold: float,
    samples: str,
    remark: str = "",
    other: str = "champion",
) -> Gate:
    over = f", over {difference.classes}" if difference.classes else ""
    return gate.proven(
        difference,
        threshold,
        name=name,
        explanation=f"macro-F1 challenger minus {other} on the same {difference.n} {samples} "
        f"samples, {difference.groups} groups{over}{remark}; the interval must lie above "
        f"{threshold:g}",
    )


def _above_chance(challenger: Evaluation) -> Gate:
    accuracy = challenger.metric("accuracy")
    if accuracy is None:
        raise ConfigError("the challenger's evaluation holds no accuracy; run evaluate again")
    share = float(challenger.confusion.sum(axis=1).max() / challenger.confusion.sum())
    return gate.proven(
        accuracy,
        share,
        name="above_chance",
        explanation=f"accuracy must lie above {share:.3f}, that of always naming the largest class"
        + (f"; it is over {accuracy.classes}" if accuracy.classes else ""),
    )


def _recall_floor(challenger: Evaluation, label: str, floor: float) -> Gate:
    """Fails when the whole interval is below the floor, or when nothing can be said of it."""
    recall, name = challenger.metric(f"recall_{label}"), f"recall_floor_{label}"
    if recall is None:
        unknown = Metric(name=label, value=0.0, low=0.0, high=1.0, n=0, groups=0)
        explanation = f"no {label} among the test samples, so its recall cannot be shown"
        return replace(
            gate.not_refuted(unknown, floor, name=name, explanation=explanation), passed=False
        )
    return gate.not_refuted(
        recall,
        floor,
        name=name,
        explanation=f"recall of {label} on {recall.n} samples must not lie wholly below {floor:g}",
    )


def _difference(challenger: Evaluation, champion: Evaluation) -> Metric:
    evaluate.require_same_samples(challenger, champion)
    pair = (challenger.called, champion.called)
    return metrics.difference(
        METRIC, pair, challenger.targets, challenger.groups, challenger.classes
    )
