"""Labels that a sample's neighbours, its group and a cross-validated probe contradict, ranked.

The rank is the out-of-fold probability of the given label, the self-confidence of confident
learning (C. Northcutt et al., JAIR 70, 2021), from three witnesses: the nearest pictures of other
groups, a linear discriminant on numbers that no pose changes, and the labels of the own group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates import near_pairs, pose_invariants
from neuro.duplicates.pose_invariants import Vectors
from neuro.passport import confounds, nearest_neighbour_score, out_of_fold

MOST = 100
_SHOWN = 5  # neighbours of each suspect
_VOTES = 15
_RADIUS = 8
_WRONG = 0.03  # share of wrong labels that is assumed
_MIXED = 0.05  # share of groups whose members may differ
_SUSPICIOUS = 0.5

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A label to look at.

    row: of the sample. score: 0..1, higher the less the others support the label. suggested:
    the label that they support most. neighbours: rows of the nearest other pictures.
    """

    row: int
    score: float
    suggested: str
    neighbours: tuple[int, ...]


def rank(
    vectors: Vectors, labels: NDArray[np.str_], groups: Sequence[str], near: Rows
) -> list[Suspect]:
    """The most suspicious labels, worst first, at most 100. near: (n, m) rows, nearest first."""
    if len(np.unique(labels)) < 2:
        return []
    return worst(supported(vectors, labels, groups, near), labels, near)


def worst(shares: NDArray[np.float64], labels: NDArray[np.str_], near: Rows) -> list[Suspect]:
    """See ``rank``. shares: (n, k), the probability of each label for each sample."""
    classes = np.unique(labels)
    own = np.searchsorted(classes, labels)
    score = 1 - shares[np.arange(len(labels)), own]
    best = shares.argmax(axis=1)
    worst_rows = np.lexsort((np.arange(len(labels)), -score))[:MOST]
    return [
        Suspect(
            row=int(row),
            score=round(float(score[row]), 4),
            suggested=str(classes[best[row]]),
            neighbours=tuple(int(n) for n in near[row][near[row] != row][:_SHOWN]),
        )
        for row in worst_rows
        if score[row] > _SUSPICIOUS and best[row] != own[row]
    ]


def judge(vectors: Vectors, targets: Rows, groups: NDArray[np.str_], k: int) -> NDArray[np.float64]:
    """Probability of each class for each sample from all but its own label, (n, k).

    vectors: (n, 1024). targets: (n,) class index. groups: (n,). Comparing all pairs is quadratic:
    over 12,000 samples their groups are dealt out by seed into parts that are judged by themselves.
    """
    names, group = np.unique(groups, return_inverse=True)
    n_parts = -(-len(targets) // nearest_neighbour_score.MOST)
    part = (np.random.default_rng(0).permutation(len(names)) % max(n_parts, 1))[group]
    shares = np.zeros((len(targets), k))
    for number in np.unique(part):
        rows = np.flatnonzero(part == number)
        near = near_pairs.Neighbours(vectors[rows]).closest
        present = np.unique(targets[rows])
        of_part = supported(vectors[rows], targets[rows], groups[rows].tolist(), near)
        shares[np.ix_(rows, present)] = of_part
    return shares


def supported(
    vectors: Vectors, labels: NDArray[np.str_] | Rows, groups: Sequence[str], near: Rows
) -> NDArray[np.float64]:
    """Probability of each label for each sample from all but its own, (n, k), labels sorted."""
    poseless = pose_invariants.invariants(pose_invariants.split(vectors, _RADIUS))
    return supported_by(poseless, labels, groups, near)


def supported_by(
    features: Vectors, labels: NDArray[np.str_] | Rows, groups: Sequence[str], near: Rows
) -> NDArray[np.float64]:
    """As ``supported``, with a probe of any features, (n, d), and neighbours found by anything."""
    _, targets = np.unique(labels, return_inverse=True)
    _, group = np.unique(np.array(groups, np.str_), return_inverse=True)
    votes = _votes(targets, group, near)
    probe = out_of_fold.probabilities(
        confounds.discriminant,
        features,
        targets,
        groups,
        otherwise=np.bincount(targets) / len(targets),
        fewest=2,
        floor=1e-3,
    )
    likelihood = np.sqrt(votes * probe) * np.exp(_group_support(targets, group))
    shares: NDArray[np.float64] = likelihood / likelihood.sum(axis=1, keepdims=True)
    return shares


def _votes(targets: Rows, group: Rows, near: Rows) -> NDArray[np.float64]:
    """Labels of the nearest pictures of other groups, with the prior as one more vote."""
    prior = np.bincount(targets) / len(targets)
    is_foreign = group[near] != group[:, None]
    is_counted = is_foreign & (np.cumsum(is_foreign, axis=1) <= _VOTES)
    votes = np.stack(
        [((targets[near] == k) & is_counted).sum(axis=1) for k in range(len(prior))], axis=1
    )
    shares: NDArray[np.float64] = (votes + prior) / (votes.sum(axis=1, keepdims=True) + 1)
    return shares


def _group_support(targets: Rows, group: Rows) -> NDArray[np.float64]:
    """How far the labels of the group's other members speak for each label, (n, k), logarithms.

    The label they speak for most has about 0. Members have one label unless it is wrong (_WRONG);
    no label falls below log(_MIXED), because some groups are truly mixed.
    """
    k = int(targets.max()) + 1
    counts = np.zeros((int(group.max()) + 1, k))
    np.add.at(counts, (group, targets), 1)
    others = counts[group]
    others[np.arange(len(targets)), targets] -= 1
    agree, differ = np.log(1 - _WRONG), np.log(_WRONG / max(k - 1, 1))
    scores = others * agree + (others.sum(axis=1, keepdims=True) - others) * differ
    scores -= scores.max(axis=1, keepdims=True)
    likelihood: NDArray[np.float64] = np.log((1 - _MIXED) * np.exp(scores) + _MIXED)
    return likelihood
