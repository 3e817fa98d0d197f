"""Inspect data before it is published: twins, leaks, and what a look-up without learning scores."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from neuro import nearest, split
from neuro.harmonics import Vectors
from neuro.miniature import THUMBNAIL_PX
from neuro.sample import lies_in
from neuro.split import Member, Pairs, SplitConfig, clusters

EXACT_COSINE = 0.999
LOOKUP_SEEDS = range(5)
MAX_LOOKUP_IMAGES = 12_000  # comparing all pairs is quadratic


@dataclass(frozen=True, kw_only=True, slots=True)
class Twins:
    """How often the same picture occurs. Counts of clusters, except given_test_with_train_twin."""

    exact_groups: int
    near_groups: int
    given_test_with_train_twin: int
    given_test: int
    cross_label_groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """Accuracy of copying the label of the most similar training image; None where not drawn.

    given: on the source's own split. random, grouped: means over five seeded splits. test: on the
    release's own test split, the figure to hold beside a model's.
    """

    given: float | None
    random: float | None
    grouped: float | None
    test: float | None


def vectors(thumbnails: Sequence[bytes]) -> Vectors:
    """Mean-removed, unit-length thumbnails, (n, 1024) float32."""
    side = THUMBNAIL_PX
    flat = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, side * side)
    centred = flat.astype(np.float32) - flat.mean(axis=1, keepdims=True, dtype=np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Vectors = centred / np.maximum(length, np.float32(1e-6))
    return unit


def twin_pairs(known: Vectors, new: Vectors, cosine: float) -> Pairs:
    """Pairs of rows of ``[known, new]`` at or above the cosine, at least one new. (m, 2) int64."""
    return nearest.near_pairs(np.concatenate([known, new]), len(known), cosine)


@dataclass(frozen=True, kw_only=True, slots=True)
class Newcomers:
    """Near pairs of images that came last: with what was there, and among one another.

    ids: sample_ids, the newcomers' from ``first`` on. pairs: (m, 2) rows of ids.
    """

    ids: Sequence[str]
    first: int
    pairs: Pairs

    def completed(self, ids: Sequence[str], vectors: Vectors, cosine: float) -> Pairs:
        """All near pairs of these images, each once, (m, 2) rows of ids: only old ones compared."""
        row = {sample_id: number for number, sample_id in enumerate(ids)}
        new = set(self.ids[self.first :])
        old = np.array([n for sample_id, n in row.items() if sample_id not in new], np.int64)
        met = np.array([row.get(sample_id, -1) for sample_id in self.ids], np.int64)[self.pairs]
        met = met[(met >= 0).all(axis=1) & (met[:, 0] != met[:, 1])]  # what is left out is neither
        pairs = np.concatenate([old[nearest.near_pairs(vectors[old], 0, cosine)], met])
        return np.unique(np.sort(pairs, axis=1), axis=0)


NOBODY = Newcomers(ids=(), first=0, pairs=np.empty((0, 2), np.int64))


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """What the passport is made of: one row per image, in any order. near: all near pairs."""

    members: Sequence[Member]
    given_splits: Sequence[str]
    vectors: Vectors
    near: Pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class Passport:
    """What is known of a release before anything is trained on it."""

    images: int
    groups: int
    labels: dict[str, int]
    splits: dict[str, int]
    twins: Twins
    lookup: Lookup
    is_synthetic: bool

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def inspect(data: Inspected, *, is_synthetic: bool) -> Passport:
    """Write the passport of a release."""
    kept, members = _lookup_rows(data), data.members
    return Passport(
        images=len(members),
        groups=len({m.group_id for m in members}),
        labels=_counts([m.label for m in members]),
        splits=_counts([m.split for m in members]),
        twins=_twins(data),
        lookup=_lookup(data, kept),
        is_synthetic=is_synthetic,
    )


def _counts(values: Sequence[str]) -> dict[str, int]:
    names, numbers = np.unique(np.array(values, dtype=np.str_), return_counts=True)
    return {str(name): int(number) for name, number in zip(names, numbers, strict=True)}


def _twins(data: Inspected) -> Twins:
    near = data.near
    train, test = _given(data, "train"), _given(data, "test")
    labels = np.array([m.label for m in data.members], dtype=np.str_)
    left, right = near[:, 0], near[:, 1]
    leaks = np.concatenate(
        [
            left[test[left] & train[right]],
            right[test[right] & train[left]],
            np.flatnonzero(test & train),  # the very file lies in both
        ]
    )
    bare = [Member(sample_id=m.sample_id, label=m.label, group_key="") for m in data.members]
    number = clusters(bare, near)
    exact = near[nearest.cosines(data.vectors, near) >= EXACT_COSINE]
    return Twins(
        exact_groups=_joined(clusters(bare, exact)),
        near_groups=_joined(number),
        given_test_with_train_twin=len(np.unique(leaks)),
        given_test=int(test.sum()),
        cross_label_groups=len(
            {
                int(number[a])
                for a, b in near.tolist()
                if labels[a] and labels[b] and labels[a] != labels[b]
            }
        ),
    )


def _given(data: Inspected, name: str) -> NDArray[np.bool_]:
    return np.array([lies_in(given, name) for given in data.given_splits], bool)


def _joined(numbers: NDArray[np.int64]) -> int:
    return int((np.bincount(numbers) > 1).sum()) if len(numbers) else 0


def _lookup_rows(data: Inspected) -> NDArray[np.int64]:
    """Labelled rows; over MAX_LOOKUP_IMAGES, a seeded sample of that many stands for all."""
    labelled = np.array([row for row, m in enumerate(data.members) if m.label], np.int64)
    if len(labelled) <= MAX_LOOKUP_IMAGES:
        return labelled
    chosen = np.random.default_rng(0).choice(len(labelled), MAX_LOOKUP_IMAGES, replace=False)
    return labelled[np.sort(chosen)]


def _lookup(data: Inspected, labelled: NDArray[np.int64]) -> Lookup:
    """Score a 1-nearest-neighbour look-up: a model below it has learned nothing."""
    labels = np.array([data.members[row].label for row in labelled], dtype=np.str_)
    neighbours = nearest.Neighbours(data.vectors[labelled])

    def score(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> float | None:
        if not train.any() or not test.any():
            return None
        found = neighbours.nearest(np.flatnonzero(test), train)
        return float((labels[found] == labels[test]).mean())

    train, test = (_given(data, name)[labelled] for name in ("train", "test"))
    own = np.array([m.split for m in data.members], dtype=np.str_)[labelled]
    drawn = [_random_test(len(labelled), seed) for seed in LOOKUP_SEEDS]
    grouped = _grouped_tests(data, labelled)
    return Lookup(
        given=score(train, test),
        random=_mean([score(~test, test) for test in drawn]),
        grouped=_mean([score(~test, test) for test in grouped]),
        test=score(own == "train", own == "test"),
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _random_test(size: int, seed: int) -> NDArray[np.bool_]:
    test: NDArray[np.bool_] = np.random.default_rng(seed).random(size) < 0.15
    return test


def _grouped_tests(data: Inspected, labelled: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Who is in the test split of each seeded, grouped draw, among the labelled rows."""
    together: dict[int, list[Member]] = defaultdict(list)
    for number, member in zip(
        clusters(data.members, data.near).tolist(), data.members, strict=True
    ):
        together[number].append(member)
    groups, drawn_tests = split.named(together.values()), []
    for seed in LOOKUP_SEEDS:
        drawn = split.draw(groups, SplitConfig(seed=seed))
        tests = {m.sample_id for g, where in drawn.items() if where == "test" for m in groups[g]}
        drawn_tests.append(np.array([data.members[n].sample_id in tests for n in labelled], bool))
    return drawn_tests
