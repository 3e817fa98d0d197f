"""How far two models agree on the same samples, without a label: what they call and decide."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one model said of samples: sample_ids, predicted (class) and decision, (n,) str each."""

    sample_ids: NDArray[np.str_]
    predicted: NDArray[np.str_]
    decisions: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of n samples that both answered. agreement: share of them called the same.

    flips, decisions: how often the other differs, the commonest first, such as
    {"glioma -> meningioma": 3} and {"answer -> abstain": 2}.
    """

    n: int
    agreement: float
    flips: Mapping[str, int]
    decisions: Mapping[str, int]


def compare(ours: Said, theirs: Said) -> Agreement | None:
    """What the other model says differently; None where no sample was answered by both.

    A sample stands once in each.
    """
    _, our_rows, their_rows = np.intersect1d(
        ours.sample_ids, theirs.sample_ids, assume_unique=True, return_indices=True
    )
    if not len(our_rows):
        return None
    called = ours.predicted[our_rows].tolist(), theirs.predicted[their_rows].tolist()
    decided = ours.decisions[our_rows].tolist(), theirs.decisions[their_rows].tolist()
    flips = _changes(*called)
    n = len(our_rows)
    return Agreement(
        n=n, agreement=1 - sum(flips.values()) / n, flips=flips, decisions=_changes(*decided)
    )


def _changes(ours: Sequence[str], theirs: Sequence[str]) -> dict[str, int]:
    pairs = Counter(pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1])
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return {f"{one} -> {other}": n for (one, other), n in ordered}
