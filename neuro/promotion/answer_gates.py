"""What a challenger must not lose beside the class that it calls: answers, sets, probabilities.

By the called class alone a model would pass that never answers, whose sets miss the truth, whose
probabilities are a lie, or which answers noise. Each gate refuses what is shown worse than the
champion by more than a margin; what is only unproven passes, for ``gates`` asks for the proof.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    coverage_margin: float,
    log_loss_margin: float,
) -> list[Gate]:
    """Gates of two evaluations of the same samples. Of a model without sets, only the log loss."""
    asked: list[tuple[str, str, Callable[[Evaluation], Floats | None], float]] = [
        ("answers_no_less", "share answered", _answered, answered_margin),
        ("sets_no_worse", "share of sets with the true class", _covered, coverage_margin),
        ("log_loss_no_worse", "mean log probability of the truth", _log_score, log_loss_margin),
    ]
    found = []
    for name, what, figure, margin in asked:
        ours, theirs = figure(challenger), figure(champion)
        if ours is None or theirs is None:
            continue
        difference = metrics.mean_difference(name, ours, theirs, challenger.groups)
        found.append(
            gate.not_refuted(
                difference,
                -margin,
                name=name,
                explanation=f"{what}, challenger minus champion on the same {difference.n} samples,"
                f" {difference.groups} groups; the interval must not lie wholly below {-margin:g}",
            )
        )
    return found


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


def _covered(evaluation: Evaluation) -> Floats | None:
    sets = evaluation.conformal_sets
    if sets is None:
        return None
    return sets[np.arange(len(sets)), evaluation.targets].astype(np.float64)


def _log_score(evaluation: Evaluation) -> Floats:
    rows = np.arange(len(evaluation.targets))
    of_truth = evaluation.probabilities[rows, evaluation.targets]
    return np.asarray(np.log(np.maximum(of_truth, _LEAST)))
