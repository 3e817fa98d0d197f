"""What a model decides of labelled samples, as shares with 95 % intervals by group."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuro.evaluation import intervals
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.metrics import FEWEST_GROUPS
from neuro.sample import FEW_GROUPS, Metric
from neuro.uncertainty import calibration

ANSWERED, IN_SCOPE, COVERED = "answered", "in_scope", "covered"
WRONG_OF_ANSWERED = "wrong_of_answered"


def of_decisions(evaluation: Evaluation) -> list[Metric]:
    """Shares answered, in scope, wrong among the answers, and of sets with the true class.

    The last also of each class that is there. None of a model that makes no sets; no share wrong
    where nothing is answered.
    """
    sets, odd = evaluation.conformal_sets, evaluation.ood_scores
    if sets is None or odd is None:
        return []
    targets, groups = evaluation.targets, evaluation.groups
    answered = calibration.answered(sets, odd, evaluation.called)
    covered = sets[np.arange(len(targets)), targets]
    found = [
        share(ANSWERED, answered, groups),
        share(IN_SCOPE, odd <= 1, groups),
        share(COVERED, covered, groups),
    ]
    if answered.any():
        wrong = ~evaluation.is_right[answered]
        found.append(share(WRONG_OF_ANSWERED, wrong, groups[answered]))
    for number, name in enumerate(evaluation.classes):
        rows = targets == number
        if rows.any():
            found.append(share(f"{COVERED}_{name}", covered[rows], groups[rows]))
    return found


def share(name: str, holds: NDArray[np.bool_], groups: ArrayLike) -> Metric:
    """How many of the samples something holds for, (n,) bool, at least one. groups: (n,) str."""
    names, group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    value, n_groups = float(holds.mean()), len(names)
    spread = 0.0
    if n_groups > 1:
        block_of = intervals.blocks(n_groups)[group_of]
        hits, counts = np.bincount(block_of, weights=holds), np.bincount(block_of)
        spread = intervals.jackknife_spread((holds.sum() - hits) / (len(holds) - counts))
    low, high = intervals.of_share(value, spread, n_groups)
    return Metric(
        name=name,
        value=value,
        low=low,
        high=high,
        n=len(holds),
        groups=n_groups,
        mark=FEW_GROUPS if n_groups < FEWEST_GROUPS else "",
    )
