"""Two models on the same images: what one gets right and the other wrong, and by how much."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import evaluate, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.sample import Metric


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """A model beside another, on the samples of ``model``.

    differences: of accuracy and macro-F1, model less other, with intervals over the same groups.
    gained, lost: row numbers of what the model alone gets right, and the other alone, (m,) each,
    the surest of the one that is right first. both_wrong: how many neither gets right.
    """

    model: Evaluation
    other: Evaluation
    differences: tuple[Metric, ...]
    gained: NDArray[np.int64]
    lost: NDArray[np.int64]
    both_wrong: int


def compare(model: Evaluation, other: Evaluation) -> Comparison:
    """Compare two evaluations. Raises ConfigError where they are not of the same samples."""
    evaluate.require_same_samples(model, other)
    pair = (model.called, other.called)
    right, others_right = model.is_right, other.is_right
    return Comparison(
        model=model,
        other=other,
        differences=tuple(
            metrics.difference(name, pair, model.targets, model.groups, model.classes)
            for name in ("accuracy", "macro_f1")
        ),
        gained=_surest_first(right & ~others_right, model),
        lost=_surest_first(others_right & ~right, other),
        both_wrong=int((~right & ~others_right).sum()),
    )


def _surest_first(rows: NDArray[np.bool_], evaluation: Evaluation) -> NDArray[np.int64]:
    chosen = np.flatnonzero(rows)
    return chosen[np.argsort(-evaluation.confidence[chosen], kind="stable")]
