"""Whether a challenger takes the champion's place: gates with numbers, never a bare comparison.

Non-inferiority by the interval's lower end against a margin: Piaggio et al. (2012, CONSORT),
doi:10.1001/jama.2012.87802. Both models answer the same samples, and the difference is resampled
by group (neuro.evaluation.metrics). Each further challenger of a test set is allowed less error
(neuro.evaluation.looks).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.evaluation import evaluate, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.looks import LookBudget
from neuro.evaluation.metrics import PairedDifference
from neuro.models.package import Card
from neuro.promotion import answer_gates, cost_gates, gate, groups_needed, subgroup_gate
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.cost_gates import Cost
from neuro.promotion.gate import Gate
from neuro.promotion.groups_needed import GroupsNeeded
from neuro.sample import Metric

METRIC = "macro_f1"
FIRST_LOOK = LookBudget()
FRESH = (
    "deliver fresh test images, and lock their release as the test set with "
    "`neuro lock RELEASE --reason ...`"
)

Choice = Literal["promote", "keep", "inconclusive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionConfig:
    """What a challenger must show.

    margin: loss of macro-F1 that still counts as no worse. recent_must_improve: on the newly
    labelled samples the challenger must be shown better, not only no worse. answered_margin,
    scope_margin, coverage_margin, stranger_margin: loss of the share answered, in scope, of sets
    with the true class, and of drawn pictures of no problem that get no answer. log_loss_margin,
    calibration_margin: gain of log loss, in nats, and of classwise calibration error.
    subgroup_margin: loss of accuracy in any subgroup. max_slowdown, max_growth: time of an answer
    and bytes of the package, as multiples of the champion's.
    """

    margin: float = 0.05
    recent_must_improve: bool = False
    answered_margin: float = 0.1
    scope_margin: float = 0.1
    coverage_margin: float = 0.05
    log_loss_margin: float = 0.1
    calibration_margin: float = 0.02
    stranger_margin: float = 0.05
    subgroup_margin: float = 0.1
    max_slowdown: float = 8.0
    max_growth: float = 10.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name.endswith("margin") and not 0 < value < 0.5:
                raise ConfigError(f"promotion.{name} must be between 0 and 0.5, got {value}")
            if name.startswith("max_") and not 1 <= value < math.inf:
                raise ConfigError(f"promotion.{name} must be a number from 1 up, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """What is known of two models beside their evaluations; of what is not, no gate asks.

    known: (n,) of the test samples, whether the champion's release had them, None for all; the
    newly labelled others are a gate of their own. columns: what divides the samples into subgroups,
    by name, (n,) str. strangers: what both answer of drawn pictures. cost: of the challenger. best:
    the evaluation of the best earlier champion, so that many small steps down do not add up.
    """

    known: NDArray[np.bool_] | None = None
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    strangers: Strangers | None = None
    cost: Cost | None = None
    best: Evaluation | None = None

    def of_known(self, evaluation: Evaluation) -> Evaluation:
        """An evaluation on the samples that the champion's release had."""
        return evaluation if self.known is None else evaluation.take(self.known)

    def take(self, keep: NDArray[np.bool_]) -> "Evidence":
        """That of some of the samples, (n,) bool."""
        return replace(
            self,
            known=None,
            columns={name: values[keep] for name, values in self.columns.items()},
            best=self.best.take(keep) if self.best else None,
        )


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Promote the challenger, keep what serves, or inconclusive: which is not promoted either.

    look: the challenger's number on its test set. error: one-sided, of its intervals of macro-F1.
    groups_needed: to show that a challenger is no worse; None where there is no champion.
    """

    decision: Choice
    gates: tuple[Gate, ...]
    reason: str
    look: int
    error: float
    groups_needed: GroupsNeeded | None


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
    budget: LookBudget = FIRST_LOOK,
    evidence: Evidence = NO_EVIDENCE,
) -> Decision:
    """Judge the challenger by its evaluation on the test split.

    recall_floors: of the problem, by class. budget: the number of the challenger on this test set,
    which says how wide its intervals of macro-F1 are. Without a champion the challenger must beat
    always naming the largest class, and is promoted or not: there is nothing to keep. Raises
    ConfigError where two evaluations that are compared are not of the same samples in the same
    order.
    """
    needed = recent = None
    if champion is None:
        gates = [_above_chance(challenger)]
    else:
        known = evidence.known
        if known is not None and not known.all():
            recent = _recent(challenger.take(~known), champion.take(~known), config, budget)
            challenger, champion = challenger.take(known), champion.take(known)
            evidence = evidence.take(known)
        difference = _difference(challenger, champion)
        needed = groups_needed.of(difference, config.margin, budget.tail)
        gates = [_no_worse(difference, needed, config.margin, budget)]
        if evidence.best is not None:
            gates.append(_no_worse_than_best(challenger, evidence.best, config.margin, budget))
    gates += [_recall_floor(challenger, name, floor) for name, floor in recall_floors.items()]
    if champion is not None:
        gates += _beside(challenger, champion, evidence, config)
    if recent is not None:
        gates.append(recent)
    gates.append(_not_worn(budget))
    choice, reason = _choice(gates, has_champion=champion is not None)
    return Decision(
        decision=choice,
        gates=tuple(gates),
        reason=reason,
        look=budget.number,
        error=budget.tail,
        groups_needed=needed,
    )


def _choice(gates: Sequence[Gate], *, has_champion: bool) -> tuple[Choice, str]:
    """What follows from the gates, and why."""
    refuted = [gate.name for gate in gates if gate.is_refuted]
    unproven = [gate.name for gate in gates if not gate.passed]
    too_few = [gate.name for gate in gates if gate.outcome == "not enough groups"]
    if not unproven:
        unshown = f"; not enough groups to show {', '.join(too_few)}" if too_few else ""
        return "promote", f"all {len(gates)} gates passed{unshown}"
    if refuted or not has_champion:
        return "keep", f"failed: {', '.join(refuted or unproven)}"
    return "inconclusive", f"not shown: {', '.join(unproven)}; more labelled groups would decide"


def _beside(
    challenger: Evaluation, champion: Evaluation, evidence: Evidence, config: PromotionConfig
) -> list[Gate]:
    """Gates of what must not be lost beside macro-F1."""
    gates = answer_gates.compare(
        challenger,
        champion,
        answered_margin=config.answered_margin,
        scope_margin=config.scope_margin,
        coverage_margin=config.coverage_margin,
        log_loss_margin=config.log_loss_margin,
        calibration_margin=config.calibration_margin,
    )
    worst = subgroup_gate.compare(challenger, champion, evidence.columns, config.subgroup_margin)
    if worst is not None:
        gates.append(worst)
    if evidence.strangers is not None:
        gates.append(answer_gates.of_strangers(evidence.strangers, config.stranger_margin))
    if evidence.cost is not None:
        gates += cost_gates.compare(
            evidence.cost, max_slowdown=config.max_slowdown, max_growth=config.max_growth
        )
    return gates


def _no_worse(
    difference: PairedDifference, needed: GroupsNeeded, margin: float, budget: LookBudget
) -> Gate:
    remark = (
        f"; to show it takes about {needed.equal} groups of an equal challenger, and "
        f"{needed.better_by_3_points} of one better by 3 points, in more than 80 of 100 cases"
    )
    return _difference_gate(
        "no_worse_on_test", difference, budget, threshold=-margin, samples="test", remark=remark
    )


def _no_worse_than_best(
    challenger: Evaluation, best: Evaluation, margin: float, budget: LookBudget
) -> Gate:
    return _difference_gate(
        "no_worse_than_best",
        _difference(challenger, best),
        budget,
        threshold=-margin,
        samples="test",
        other=f"version {best.model_version}, the best that served,",
    )


def _recent(
    challenger: Evaluation, champion: Evaluation, config: PromotionConfig, budget: LookBudget
) -> Gate:
    """On the newly labelled samples: no worse than by the margin or, where asked for, better.

    Either way its explanation says whether the challenger was shown to be better.
    """
    name, threshold = "no_worse_on_recent", -config.margin
    if config.recent_must_improve:
        name, threshold = "better_on_recent", 0.0
    difference = _difference(challenger, champion)
    is_better = difference.metric(budget.tail).low > 0
    remark = "; shown better" if is_better else "; not shown better"
    return _difference_gate(
        name, difference, budget, threshold=threshold, samples="newly labelled", remark=remark
    )


def _difference_gate(
    name: str,
    difference: PairedDifference,
    budget: LookBudget,
    *,
    threshold: float,
    samples: str,
    remark: str = "",
    other: str = "champion",
) -> Gate:
    over = f", over {difference.classes}" if difference.classes else ""
    return gate.proven(
        difference.metric(budget.tail),
        threshold,
        name=name,
        explanation=f"macro-F1 challenger minus {other} on the same {difference.n} {samples} "
        f"samples, {difference.groups} groups{over}; its {100 * (1 - 2 * budget.tail):.4g} % "
        f"interval, that of challenger {budget.number} of this test set, must lie above "
        f"{threshold:g}{remark}",
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
    """Proven where there are groups enough that a clearly better model would be."""
    recall, name = challenger.metric(f"recall_{label}"), f"recall_floor_{label}"
    if recall is None:
        unknown = Metric(name=label, value=0.0, low=0.0, high=1.0, n=0, groups=0)
        return gate.of(
            unknown,
            floor,
            unless_refuted="not shown",
            name=name,
            explanation=f"no {label} among the test samples, so its recall cannot be shown",
        )
    where = f"recall of {label} on {recall.n} samples, {recall.groups} groups"
    if recall.groups < (needed := groups_needed.of_floor(floor)):
        return gate.of(
            recall,
            floor,
            unless_refuted="not enough groups",
            name=name,
            explanation=f"{where}: {needed} would show {floor:g} of a model whose recall lies "
            "halfway to 1; with fewer it must only not lie wholly below",
        )
    explanation = f"{where}; its 95 % interval must not reach below {floor:g}"
    return gate.reached(recall, floor, name=name, explanation=explanation)


def _not_worn(budget: LookBudget) -> Gate:
    left = float(budget.allowed - budget.number)
    return gate.not_refuted(
        Metric(name="looks_left", value=left, low=left, high=left, n=0, groups=0),
        0.0,
        name="test_set_not_worn",
        explanation=f"challenger {budget.number} of the {budget.allowed} that this test set may "
        "judge (test_looks of the problem file)" + ("" if left >= 0 else f": it is worn; {FRESH}"),
    )


def _difference(challenger: Evaluation, champion: Evaluation) -> PairedDifference:
    evaluate.require_same_samples(challenger, champion)
    pair = (challenger.called, champion.called)
    return metrics.paired_difference(
        METRIC, pair, challenger.targets, challenger.groups, challenger.classes
    )
