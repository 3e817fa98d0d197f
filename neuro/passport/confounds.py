"""How well a class is told from what is not the picture's content: mode, size, format, border.

A model that scores no better than these has shown nothing: it may have learnt the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from neuro.dataset.metadata import Column, Traits
from neuro.duplicates import pose_invariants
from neuro.duplicates.pose_invariants import Vectors
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.passport import out_of_fold

ALL = "all"
_NAMED = 0.05  # over chance, in balanced accuracy, beyond doubt
_TREES, _LEAF = 60, 5
_VALUES = 20  # of one trait, most common first; the others are one
_RING = 2  # pixels of a thumbnail's border
_RADIUS = 10  # frequencies that the linear probe sees
LEAST = 50  # samples that anything is said of
_FEWEST = 20  # samples of a source that a probe is asked about

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Confound:
    """Accuracy of predicting the label from one trait, out of fold, groups kept together.

    chance: the share of the commonest label. balanced: mean recall, classes weighted alike.
    balanced_chance: one by the number of classes. low: what balanced is over its chance at least,
    at 95 %. is_named: beyond doubt and by more than five points.
    """

    name: str
    accuracy: float
    chance: float
    balanced: float
    balanced_chance: float
    low: float
    is_named: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """How well a linear probe tells from the picture where a sample came from.

    chance: the share of the commonest value. values: how many were to be told apart.
    """

    name: str
    accuracy: float
    chance: float
    values: int


def border(thumbnails: NDArray[np.uint8]) -> Traits:
    """Brightness of the border of (n, 32, 32) thumbnails, and how much it varies, in 0..255."""
    ring = np.ones((THUMBNAIL_PX, THUMBNAIL_PX), bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    edge = thumbnails[:, ring].astype(np.float64)
    return {"border": edge.mean(axis=1), "border_spread": edge.std(axis=1)}


def matrix(traits: Traits) -> NDArray[np.float32]:
    """Traits as numbers, (n, d): values one column each, numbers as they are, unknown as -1."""
    columns = [_numbers(column) for column in traits.values()]
    return np.concatenate(columns, axis=1).astype(np.float32)


def measure(traits: Traits, labels: NDArray[np.str_], groups: Sequence[str]) -> list[Confound]:
    """Confounds of labelled samples, strongest first; "all" is all traits together.

    traits: (n,) each. A trait with one value is left out. Empty with fewer than two labels, and
    with fewer than 50 samples, which show nothing beyond doubt.
    """
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) < 2 or len(labels) < LEAST:
        return []
    varied = {name: column for name, column in traits.items() if len(np.unique(column)) > 1}
    tables = {name: matrix({name: column}) for name, column in varied.items()}
    tree = partial(DecisionTreeClassifier, min_samples_leaf=_LEAF, random_state=0)
    classifiers: dict[str, Callable[[], Any]] = dict.fromkeys(tables, tree)
    if len(varied) > 1:
        tables[ALL] = matrix(varied)
        classifiers[ALL] = partial(
            RandomForestClassifier, _TREES, min_samples_leaf=_LEAF, random_state=0
        )
    prior = np.bincount(targets) / len(targets)
    confounds = []
    for name, table in tables.items():
        shares = out_of_fold.probabilities(
            classifiers[name], table, targets, groups, otherwise=prior
        )
        confounds.append(_confound(name, shares, targets, groups))
    return sorted(confounds, key=lambda confound: (-confound.balanced, confound.name))


def probe(
    vectors: Vectors, wanted: Mapping[str, NDArray[np.str_]], groups: Sequence[str]
) -> list[Source]:
    """What a linear discriminant on thumbnails' low frequencies tells of each wanted trait.

    vectors: (n, 1024). wanted: (n,) each, "" where unknown. Values of under 20 samples, and traits
    of one value, are not asked about.
    """
    features = np.concatenate(pose_invariants.split(vectors, _RADIUS).coefficients, axis=1)
    sources = []
    for name, values in wanted.items():
        kinds, counts = np.unique(values, return_counts=True)
        kinds = kinds[(counts >= _FEWEST) & (kinds != "")]
        if len(kinds) < 2:
            continue
        rows = np.flatnonzero(np.isin(values, kinds))
        targets = np.searchsorted(kinds, values[rows])
        shares = out_of_fold.probabilities(
            discriminant,
            features[rows],
            targets,
            [groups[row] for row in rows.tolist()],
            otherwise=np.zeros(len(kinds)),
            fewest=2,
        )
        is_right = shares.any(axis=1) & (shares.argmax(axis=1) == targets)
        sources.append(
            Source(
                name=name,
                accuracy=float(is_right.mean()),
                chance=float(np.bincount(targets).max() / len(rows)),
                values=len(kinds),
            )
        )
    return sources


def discriminant() -> LinearDiscriminantAnalysis:
    """A linear discriminant that many features of few samples do not mislead."""
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)


def _numbers(column: Column) -> NDArray[np.float64]:
    if column.dtype.kind == "f":
        return np.nan_to_num(column.astype(np.float64), nan=-1.0)[:, None]
    kinds, counts = np.unique(column, return_counts=True)
    common = kinds[np.argsort(-counts, kind="stable")[:_VALUES]]
    is_kind: NDArray[np.float64] = np.equal(column[:, None], common[None]).astype(np.float64)
    return is_kind


def _confound(
    name: str, shares: NDArray[np.float64], targets: Rows, groups: Sequence[str]
) -> Confound:
    prior = np.bincount(targets) / len(targets)
    is_right = shares.argmax(axis=1) == targets
    # Dividing by the prior, and weighing each sample by its class, makes all classes count alike.
    is_right_balanced = (shares / prior).argmax(axis=1) == targets
    recalls = is_right_balanced / prior[targets] / len(prior)
    balanced, balanced_chance = float(recalls.mean()), 1 / len(prior)
    low = balanced - balanced_chance - 1.96 * _error(recalls, groups)
    return Confound(
        name=name,
        accuracy=float(is_right.mean()),
        chance=float(prior.max()),
        balanced=balanced,
        balanced_chance=balanced_chance,
        low=low,
        is_named=low > _NAMED,
    )


def _error(values: NDArray[np.float64], groups: Sequence[str]) -> float:
    """Standard error of a mean over samples that come in groups (cluster-robust)."""
    _, number = np.unique(np.array(groups, np.str_), return_inverse=True)
    sums = np.bincount(number, values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))
