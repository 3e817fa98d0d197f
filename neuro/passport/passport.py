"""Inspect data before it is published: the passport of a release."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.metadata import Traits
from neuro.duplicates import near_pairs as nearest
from neuro.duplicates.pose_invariants import Vectors
from neuro.passport import confounds, counts, label_errors, nearest_neighbour_score
from neuro.passport.confounds import Confound, Source
from neuro.passport.counts import Gaps, Grouping
from neuro.passport.nearest_neighbour_score import Lookup
from neuro.splits.draw_splits import Member, Pairs, connected

EXACT_COSINE = 0.999
_EXAMPLES, TOLD = 12, 6  # clusters of twins that are shown, and members of each

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
    members = data.members
    labelled = nearest_neighbour_score.rows(members)
    neighbours = nearest.Neighbours(data.vectors[labelled])
    labels = np.array([members[row].label for row in labelled], dtype=np.str_)
    groups = [members[row].group_id for row in labelled]
    traits = {name: column[labelled] for name, column in data.traits.items()}
    origins = {"given_split": np.array(data.given_splits, np.str_)[labelled]}
    if "source" in traits:
        origins = {"source": traits["source"].astype(np.str_), **origins}
    probed = {name: values for name, values in origins.items() if len(values)}
    return Passport(
        images=len(members),
        groups=len({m.group_id for m in members}),
        labels=_counts([m.label for m in members]),
        splits=_counts([m.split for m in members]),
        twins=_twins(data),
        lookup=nearest_neighbour_score.score(
            members, data.given_splits, data.near, labelled, neighbours
        ),
        confounds=confounds.measure(traits, labels, groups),
        sources=confounds.probe(data.vectors[labelled], probed, groups),
        label_suspects=_suspects(data, labelled, neighbours),
        grouping=counts.grouping(members, data.near),
        metadata=counts.gaps(data.traits, data.columns),
        identifiers=counts.removed(data.traits),
        about=data.about,
        is_synthetic=is_synthetic,
    )


def _suspects(
    data: Inspected, rows: NDArray[np.int64], neighbours: nearest.Neighbours
) -> list[dict[str, object]]:
    """Labels to look at among some rows, with the nearest other pictures and their labels."""
    members = [data.members[row] for row in rows]
    labels = np.array([m.label for m in members], dtype=np.str_)
    groups = [m.group_id for m in members]
    suspects = label_errors.rank(data.vectors[rows], labels, groups, neighbours.closest)
    return [
        {
            "sample_id": members[suspect.row].sample_id,
            "sha256": members[suspect.row].sample_id,
            "score": suspect.score,
            "label": members[suspect.row].label,
            "suggested": suspect.suggested,
            "neighbours": [
                {"sample_id": members[row].sample_id, "label": members[row].label}
                for row in suspect.neighbours
            ],
        }
        for suspect in suspects
    ]


def _counts(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _twins(data: Inspected) -> Twins:
    near = data.near
    left, right = near[:, 0], near[:, 1]
    in_train = nearest_neighbour_score.is_given(data.given_splits, "train")
    in_test = nearest_neighbour_score.is_given(data.given_splits, "test")
    test_with_train_twin = np.concatenate(
        [
            left[in_test[left] & in_train[right]],
            right[in_test[right] & in_train[left]],
            np.flatnonzero(in_test & in_train),  # one file in both
        ]
    )
    cluster = connected(len(data.members), near)
    exact = near[nearest.cosines(data.vectors, near) >= EXACT_COSINE]
    labels = np.array([m.label for m in data.members], dtype=np.str_)
    cross_label = (labels[left] != labels[right]) & (labels[left] != "") & (labels[right] != "")
    return Twins(
        exact_groups=_of_several(connected(len(data.members), exact)),
        near_groups=_of_several(cluster),
        given_test_with_train_twin=len(np.unique(test_with_train_twin)),
        given_test=int(in_test.sum()),
        cross_label_groups=len(np.unique(cluster[left[cross_label]])),
        examples=_examples(data),
    )


def _of_several(clusters: NDArray[np.int64]) -> int:
    """How many clusters have more than one row, from the cluster of each row."""
    return int((np.bincount(clusters) > 1).sum()) if len(clusters) else 0


def _examples(data: Inspected) -> list[list[Example]]:
    """Some clusters of twins: those of several labels first, then those across given splits."""

    def example(row: int) -> Example:
        member = data.members[row]
        return {
            "sample_id": member.sample_id,
            "label": member.label,
            "split": member.split,
            "given_split": data.given_splits[row],
        }

    rows_of_clusters = counts.clusters(len(data.members), data.near)
    clusters = [[example(row) for row in rows] for rows in rows_of_clusters]
    clusters.sort(key=lambda cluster: (-_kinds(cluster, "label"), -_kinds(cluster, "given_split")))
    return [_varied(cluster)[:TOLD] for cluster in clusters[:_EXAMPLES]]


def _kinds(cluster: Sequence[Example], name: str) -> int:
    return len({one[name] for one in cluster} - {""})


def _varied(cluster: Sequence[Example]) -> list[Example]:
    """The members, one of each label and given split first."""
    first: dict[tuple[str, str], Example] = {}
    for member in cluster:
        first.setdefault((member["label"], member["given_split"]), member)
    ahead = list(first.values())
    return ahead + [member for member in cluster if member not in ahead]
