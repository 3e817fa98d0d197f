"""How often a model answers, cannot decide, or finds an image out of scope, and is then right."""

from dataclasses import dataclass

from neuro.evaluation.evaluate import Evaluation
from neuro.uncertainty import calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """Shares of n samples. right_of_answered: of the answers, None where there is none."""

    answered: float
    abstained: float
    out_of_scope: float
    right_of_answered: float | None
    n_answered: int
    n: int


def decisions(evaluation: Evaluation) -> Decisions | None:
    """What the model decides on the samples; None where no sets were made."""
    sets, odd = evaluation.conformal_sets, evaluation.ood_scores
    if sets is None or odd is None:
        return None
    answered = calibration.answered(sets, odd, evaluation.called)
    is_out = odd > 1
    right = evaluation.is_right[answered]
    return Decisions(
        answered=float(answered.mean()),
        abstained=float((~is_out & ~answered).mean()),
        out_of_scope=float(is_out.mean()),
        right_of_answered=float(right.mean()) if len(right) else None,
        n_answered=len(right),
        n=len(evaluation.targets),
    )
