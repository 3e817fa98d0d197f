"""What pairs are worth: which planted copies they find, and which of them are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neuro.duplicates import near_pairs
from neuro.duplicates import twins as twinning
from neuro.splits.draw_splits import Pairs

RIGHT = (
    "right: both files come of one picture, or carry one patient or lesion id; true twins: their\n"
    "pictures reach the problem's cosine in one of eight poses (our own rule), or are the same file"
)
_MOST = 200_000  # pairs that are judged; a seeded draw of them stands for more


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Of n files. source: row of the file that a planted copy was made of, its own otherwise.

    kind: "" where nothing was planted. group: "" for no id. cosine: of the problem.
    """

    source: NDArray[np.int64]
    kind: Sequence[str]
    group: NDArray[np.str_]
    thumbnails: Sequence[bytes]
    cosine: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Of joined pairs: how many; the share that is right, and with true twins; recall by kind."""

    pairs: int
    right: float
    with_twins: float
    recall: dict[str, float]
    largest: int


def judge(pairs: Pairs, truth: Truth) -> Judged:
    """A copy is found if it and its source are in one cluster of the pairs."""
    number = clustered(pairs, len(truth.source))
    found = number == number[truth.source]
    kinds = np.array(truth.kind)
    some = pairs
    if len(pairs) > _MOST:
        some = pairs[np.random.default_rng(0).choice(len(pairs), _MOST, replace=False)]
    right = _is_right(some, truth)
    twins = right.copy()
    rows = truth.source[some[~right]]
    small = twinning.vectors(truth.thumbnails)
    twins[~right] = near_pairs.cosines(small, rows) >= truth.cosine - 1e-5
    return Judged(
        pairs=len(pairs),
        right=float(right.mean()) if len(some) else float("nan"),
        with_twins=float(twins.mean()) if len(some) else float("nan"),
        recall={
            kind: float(found[kinds == kind].mean()) for kind in sorted(set(truth.kind) - {""})
        },
        largest=int(np.bincount(number).max()),
    )


def clustered(pairs: Pairs, size: int) -> NDArray[np.int64]:
    """Number of each row's cluster, (n,)."""
    ones = np.ones(len(pairs), bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, numbers = connected_components(graph, directed=False)
    return numbers.astype(np.int64)


def _is_right(pairs: Pairs, truth: Truth) -> NDArray[np.bool_]:
    one, other = truth.source[pairs[:, 0]], truth.source[pairs[:, 1]]
    same_id = (truth.group[one] == truth.group[other]) & (truth.group[one] != "")
    right: NDArray[np.bool_] = (one == other) | same_id
    return right
