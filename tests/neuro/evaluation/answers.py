"""Evaluations of answers that a test makes up."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import evaluate
from neuro.evaluation.evaluate import Answers, Evaluation


def evaluation(
    probabilities: NDArray[np.float64],
    targets: Sequence[int],
    groups: Sequence[str] | None = None,
    *,
    sets: NDArray[np.bool_] | None = None,
    ood_scores: Sequence[float] | None = None,
    called: Sequence[int] | None = None,
) -> Evaluation:
    """Of classes a, b, ...; each sample is a group of its own where none are given.

    called: default, the most probable class.
    """
    n, k = probabilities.shape
    return evaluate.of_answers(
        Answers(
            split="test",
            model_version="0123456789abcdef",
            classes=tuple("abcdefgh"[:k]),
            sample_ids=np.array([f"{number:064x}" for number in range(n)]),
            groups=np.array(
                groups if groups is not None else [f"g{number}" for number in range(n)]
            ),
            targets=np.array(targets, dtype=np.int64),
            called=probabilities.argmax(axis=1) if called is None else np.array(called),
            probabilities=probabilities,
            conformal_sets=sets,
            ood_scores=None if ood_scores is None else np.array(ood_scores, dtype=np.float64),
        )
    )


def sure(values: Sequence[float]) -> NDArray[np.float64]:
    """Answers of two classes with so high a probability of class a, (n, 2)."""
    first = np.array(values, dtype=np.float64)
    return np.stack([first, 1 - first], axis=1)
