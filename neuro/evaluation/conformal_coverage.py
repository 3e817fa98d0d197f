"""How often the conformal sets hold the true class, and how large they are, on labelled samples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Of some samples. covered: share whose set holds the true class; size: mean classes of a set.

    single, empty: shares of sets with one class, and with none. name: of whom, "" for all.
    """

    name: str
    n: int
    covered: float
    size: float
    single: float
    empty: float


def by_class(evaluation: Evaluation) -> list[Coverage]:
    """Of all samples, then of each class that is there; [] where no sets were made."""
    if evaluation.conformal_sets is None:
        return []
    found = [of_rows(evaluation, np.ones(len(evaluation.targets), dtype=bool), "")]
    for number, name in enumerate(evaluation.classes):
        rows = evaluation.targets == number
        if rows.any():
            found.append(of_rows(evaluation, rows, name))
    return found


def of_rows(evaluation: Evaluation, rows: NDArray[np.bool_], name: str) -> Coverage:
    """Of some rows, (n,) bool, one at least, of an evaluation with sets."""
    if evaluation.conformal_sets is None:
        raise ValueError("the evaluation has no conformal sets")
    sets, targets = evaluation.conformal_sets[rows], evaluation.targets[rows]
    sizes = sets.sum(axis=1)
    return Coverage(
        name=name,
        n=int(rows.sum()),
        covered=float(sets[np.arange(len(targets)), targets].mean()),
        size=float(sizes.mean()),
        single=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )
