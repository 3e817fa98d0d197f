"""What a look-up without learning scores: copying the label of the most similar picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates.near_pairs import Neighbours
from neuro.sample import lies_in
from neuro.splits import draw_splits
from neuro.splits.draw_splits import SHARES, Member, Pairs

SEEDS = range(5)
MOST = 12_000  # images: comparing all pairs is quadratic


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


def rows(members: Sequence[Member]) -> NDArray[np.int64]:
    """Labelled rows; over MOST, a seeded sample of that many stands for all."""
    labelled = np.array([row for row, m in enumerate(members) if m.label], np.int64)
    if len(labelled) <= MOST:
        return labelled
    chosen = np.random.default_rng(0).choice(len(labelled), MOST, replace=False)
    return labelled[np.sort(chosen)]


def is_given(given_splits: Sequence[str], name: str) -> NDArray[np.bool_]:
    """Which samples the source has in a split, alone or in others as well. (n,)."""
    return np.array([lies_in(given, name) for given in given_splits], bool)


def score(
    members: Sequence[Member],
    given_splits: Sequence[str],
    near: Pairs,
    labelled: NDArray[np.int64],
    neighbours: Neighbours,
) -> Lookup:
    """Score the look-up. near: twins among all. labelled: rows of members; neighbours: of these."""
    labels = np.array([members[row].label for row in labelled], dtype=np.str_)

    def accuracy(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> float | None:
        if not train.any() or not test.any():
            return None
        nearest = neighbours.nearest(np.flatnonzero(test), train)
        return float((labels[nearest] == labels[test]).mean())

    given_train = is_given(given_splits, "train")[labelled]
    given_test = is_given(given_splits, "test")[labelled]
    own = np.array([m.split for m in members], dtype=np.str_)[labelled]
    random_tests = [np.random.default_rng(seed).random(len(labelled)) < 0.15 for seed in SEEDS]
    grouped_tests = [test[labelled] for test in _grouped_tests(members, near)]
    return Lookup(
        given=accuracy(given_train, given_test),
        random=_mean([accuracy(~test, test) for test in random_tests]),
        grouped=_mean([accuracy(~test, test) for test in grouped_tests]),
        test=accuracy(own == "train", own == "test"),
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _grouped_tests(members: Sequence[Member], near: Pairs) -> list[NDArray[np.bool_]]:
    """Which members are in the test split of each seeded draw by group, (n,) each."""
    numbers = draw_splits.clusters(members, near).tolist()
    groups = draw_splits.named(draw_splits.grouped(members, numbers).values())
    group_of = {m.sample_id: group_id for group_id, group in groups.items() for m in group}
    tests = []
    for seed in SEEDS:
        split_of = draw_splits.share_out(groups, SHARES, seed)
        is_test = [split_of[group_of[member.sample_id]] == "test" for member in members]
        tests.append(np.array(is_test, bool))
    return tests
