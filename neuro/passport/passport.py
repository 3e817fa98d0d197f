"""Inspect data before it is published: the passport of a release."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.metadata import Traits
from neuro.duplicates import neighbours as nearest
from neuro.duplicates.pose_invariants import Vectors
from neuro.passport import confounds, counts, label_errors, nearest_neighbour_score
from neuro.passport.confounds import Confound, Source
from neuro.passport.counts import Gaps, Grouping
from neuro.passport.nearest_neighbour_score import Lookup
from neuro.splits.assign import Member, Pairs, clusters

EXACT_COSINE = 0.999
_EXAMPLES, TOLD = 12, 6  # clusters of twins that are shown, and members of each
_PROBED = ("source", "given_split")

Example = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Twins:
    """How often the same picture occurs. Counts of clusters, except given_test_with_train_twin.

    examples: members of some clusters, those first that cross labels or given splits.
    """

    exact_groups: int
    near_groups: int
    given_test_with_train_twin: int
    given_test: int
    cross_label_groups: int
    examples: Sequence[Sequence[Example]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """What the passport is made of: one row per image, in any order. near: all twins.

    traits: what is known beside the pictures. columns: those of them that a table told. about:
    licence, citation, intended use and population.
    """

    members: Sequence[Member]
    given_splits: Sequence[str]
    vectors: Vectors
    near: Pairs
    traits: Traits = field(default_factory=dict)
    columns: Sequence[str] = ()
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passport:
    """What is known of a release before anything is trained on it."""

    images: int
    groups: int
    labels: dict[str, int]
    splits: dict[str, int]
    twins: Twins
    lookup: Lookup
    confounds: Sequence[Confound]
    sources: Sequence[Source]
    label_suspects: Sequence[Mapping[str, object]]
    grouping: Grouping
    metadata: Sequence[Gaps]
    identifiers: Mapping[str, int]
    about: Mapping[str, str]
    is_synthetic: bool

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def inspect(data: Inspected, *, is_synthetic: bool) -> Passport:
    """Write the passport of a release."""
    members, asked = data.members, nearest_neighbour_score.rows(data.members)
    neighbours = nearest.Neighbours(data.vectors[asked])
    labels = np.array([members[row].label for row in asked], dtype=np.str_)
    groups = [members[row].group_id for row in asked]
    told = {name: column[asked] for name, column in data.traits.items()}
    given = np.array(data.given_splits, np.str_)[asked]
    wanted = {"source": told.get("source", np.empty(0)).astype(np.str_), "given_split": given}
    probed = {name: wanted[name] for name in _PROBED if len(wanted[name])}
    return Passport(
        images=len(members),
        groups=len({m.group_id for m in members}),
        labels=_counts([m.label for m in members]),
        splits=_counts([m.split for m in members]),
        twins=_twins(data),
        lookup=nearest_neighbour_score.score(
            members, data.given_splits, data.near, asked, neighbours
        ),
        confounds=confounds.measure(told, labels, groups),
        sources=confounds.probe(data.vectors[asked], probed, groups),
        label_suspects=_suspects(data, asked, neighbours),
        grouping=counts.grouping(members, data.near),
        metadata=counts.gaps(data.traits, data.columns),
        identifiers=counts.removed(data.traits),
        about=data.about,
        is_synthetic=is_synthetic,
    )


def _suspects(
    data: Inspected, asked: NDArray[np.int64], neighbours: nearest.Neighbours
) -> list[dict[str, object]]:
    """Labels to look at, with the nearest other pictures and their labels."""
    chosen = [data.members[row] for row in asked]
    labels = np.array([m.label for m in chosen], dtype=np.str_)
    groups = [m.group_id for m in chosen]
    found = label_errors.rank(data.vectors[asked], labels, groups, neighbours.closest)
    return [
        {
            "sample_id": chosen[one.row].sample_id,
            "sha256": chosen[one.row].sample_id,
            "score": one.score,
            "label": chosen[one.row].label,
            "suggested": one.suggested,
            "neighbours": [
                {"sample_id": chosen[row].sample_id, "label": chosen[row].label}
                for row in one.neighbours
            ],
        }
        for one in found
    ]


def _counts(values: Sequence[str]) -> dict[str, int]:
    names, numbers = np.unique(np.array(values, dtype=np.str_), return_counts=True)
    return {str(name): int(number) for name, number in zip(names, numbers, strict=True)}


def _twins(data: Inspected) -> Twins:
    near = data.near
    train, test = (
        nearest_neighbour_score.is_given(data.given_splits, name) for name in ("train", "test")
    )
    labels = np.array([m.label for m in data.members], dtype=np.str_)
    left, right = near[:, 0], near[:, 1]
    leaks = np.concatenate(
        [
            left[test[left] & train[right]],
            right[test[right] & train[left]],
            np.flatnonzero(test & train),
        ]
    )
    bare = [Member(sample_id=m.sample_id, label=m.label, group_key="") for m in data.members]
    number = clusters(bare, near)
    exact = near[nearest.cosines(data.vectors, near) >= EXACT_COSINE]
    differs = (labels[left] != labels[right]) & (labels[left] != "") & (labels[right] != "")
    return Twins(
        exact_groups=_joined(clusters(bare, exact)),
        near_groups=_joined(number),
        given_test_with_train_twin=len(np.unique(leaks)),
        given_test=int(test.sum()),
        cross_label_groups=len(np.unique(number[left[differs]])),
        examples=_examples(data),
    )


def _examples(data: Inspected) -> list[list[Example]]:
    """Some clusters of twins: those of several labels first, then those across given splits."""

    def told(row: int) -> Example:
        one = data.members[row]
        facts = {"sample_id": one.sample_id, "label": one.label, "split": one.split}
        return {**facts, "given_split": data.given_splits[row]}

    found = [[told(row) for row in rows] for rows in counts.clusters(len(data.members), data.near)]
    found.sort(key=lambda cluster: (-_kinds(cluster, "label"), -_kinds(cluster, "given_split")))
    return [_varied(cluster)[:TOLD] for cluster in found[:_EXAMPLES]]


def _kinds(cluster: Sequence[Example], name: str) -> int:
    return len({one[name] for one in cluster} - {""})


def _varied(cluster: Sequence[Example]) -> list[Example]:
    """The members, one of each label and given split first."""
    seen, first, later = set(), list[Example](), list[Example]()
    for one in cluster:
        kind = (one["label"], one["given_split"])
        (later if kind in seen else first).append(one)
        seen.add(kind)
    return [*first, *later]


def _joined(numbers: NDArray[np.int64]) -> int:
    return int((np.bincount(numbers) > 1).sum()) if len(numbers) else 0
