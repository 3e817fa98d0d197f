"""What a challenger must not lose beside the class that it calls: answers, sets, probabilities.

By the called class alone a model would pass that never answers, whose sets miss the truth, whose
probabilities are a lie, or which answers noise. Each gate refuses what is shown worse than the
champion by more than a margin; what is only unproven passes, for ``gates`` asks for the proof.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import gate
from neuro.promotion.gate import Gate
from neuro.sample import Metric
from neuro.uncertainty import calibration

_LEAST = 1e-6  # of a probability, in a logarithm

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Strangers:
    """Shares of n drawn pictures of no problem that either model answers."""

    challenger: float
    champion: float
    n: int


def compare(
    challenger: Evaluation,
    champion: Evaluation,
    *,
    answered_margin: float,
    scope_margin: float,
    coverage_margin: float,
    log_loss_margin: float,
    calibration_margin: float,
) -> list[Gate]:
    """Gates of two evaluations of the same samples.

    Of a model without sets or scores of scope, those that need none.
    """
    asked: list[tuple[str, str, Callable[[Evaluation], Floats | None], float]] = [
        ("answers_no_less", "share answered", _answered, answered_margin),
        ("in_scope_no_less", "share that is in scope", _in_scope, scope_margin),
        ("sets_no_worse", "share of sets with the true class", _covered, coverage_margin),
        ("log_loss_no_worse", "mean log probability of the truth", _log_score, log_loss_margin),
    ]
    found = []
    for name, what, figure, margin in asked:
        ours, theirs = figure(challenger), figure(champion)
        if ours is None or theirs is None:
            continue
        difference = metrics.mean_difference(name, ours, theirs, challenger.groups)
        found.append(_no_worse(difference, margin, f"{what}, challenger minus champion"))
    found.append(_calibration(challenger, champion, calibration_margin))
    return found


def _calibration(challenger: Evaluation, champion: Evaluation, margin: float) -> Gate:
    pair = (challenger.probabilities, champion.probabilities)
    gained = metrics.loss_difference("classwise_ece", pair, challenger.targets, challenger.groups)
    what = "classwise calibration error, champion minus challenger"
    return _no_worse(replace(gained, name="calibration_no_worse"), margin, what)


def _no_worse(difference: Metric, margin: float, what: str) -> Gate:
    return gate.not_refuted(
        difference,
        -margin,
        name=difference.name,
        explanation=f"{what} on the same {difference.n} samples, {difference.groups} groups; the "
        f"interval must not lie wholly below {-margin:g}",
    )


def of_strangers(strangers: Strangers, margin: float) -> Gate:
    """A gate of drawn pictures that are of no problem: as good as none of them may be answered."""
    value, threshold, n = 1 - strangers.challenger, 1 - strangers.champion - margin, strangers.n
    return gate.not_refuted(
        Metric(name="strangers", value=value, low=value, high=value, n=n, groups=n),
        threshold,
        name="answers_no_strangers",
        explanation=f"share of {n} drawn pictures of no problem (noise, black, text) that it does "
        f"not answer; must be at least that of the champion less {margin:g}",
    )


def _answered(evaluation: Evaluation) -> Floats | None:
    sets, odd = evaluation.conformal_sets, evaluation.ood_scores
    if sets is None or odd is None:
        return None
    return calibration.answered(sets, odd, evaluation.called).astype(np.float64)


def _in_scope(evaluation: Evaluation) -> Floats | None:
    odd = evaluation.ood_scores
    return None if odd is None else (odd <= 1).astype(np.float64)


def _covered(evaluation: Evaluation) -> Floats | None:
    sets = evaluation.conformal_sets
    if sets is None:
        return None
    return sets[np.arange(len(sets)), evaluation.targets].astype(np.float64)


def _log_score(evaluation: Evaluation) -> Floats:
    rows = np.arange(len(evaluation.targets))
    of_truth = evaluation.probabilities[rows, evaluation.targets]
    return np.asarray(np.log(np.maximum(of_truth, _LEAST)))
