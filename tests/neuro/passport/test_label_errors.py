from typing import Any

import numpy as np
import pytest

from neuro.duplicates import near_pairs
from neuro.passport import label_errors, nearest_neighbour_score
from neuro.passport.label_errors import Suspect
from tests.neuro.pictures import smooth, vectors

RNG = np.random.default_rng(0)
N = 120


def ranked(labels: np.ndarray, groups: list[str]) -> list[Suspect]:
    """Two classes of pictures, coarse and fine, each with noise of its own."""
    pictures = []
    for number in range(N):
        base = smooth(number % 2, 32).astype(float)
        pictures.append(np.clip(base + RNG.normal(0, 12, (32, 32)), 0, 255).astype(np.uint8))
    rows = vectors(pictures)
    return label_errors.rank(rows, labels, groups, near_pairs.Neighbours(rows).closest)


def test_flipped_labels_come_first_and_the_right_one_is_suggested() -> None:
    labels = np.array(["a", "b"] * (N // 2))
    flipped = [7, 30, 55]
    for row in flipped:
        labels[row] = "b" if labels[row] == "a" else "a"
    found = ranked(labels, [str(n) for n in range(N)])
    assert {one.row for one in found[:3]} == set(flipped)
    assert [one.suggested for one in found if one.row == 7] == ["b"]


def test_clean_labels_are_not_suspected() -> None:
    assert ranked(np.array(["a", "b"] * (N // 2)), [str(n) for n in range(N)]) == []


def test_a_label_that_its_whole_group_contradicts_is_suspected() -> None:
    labels = RNG.permutation(["a", "b"] * (N // 2))  # pictures say nothing
    groups = [f"g{n}" for n in range(N)]
    group = [3, 10, 20, 40]
    for row in group:
        groups[row], labels[row] = "one", "a"
    labels[40] = "b"
    found = ranked(labels, groups)
    assert found[0].row == 40


def test_the_neighbours_that_are_told_are_others() -> None:
    labels = np.array(["a", "b"] * (N // 2))
    labels[7] = "a"
    (first, *_) = ranked(labels, [str(n) for n in range(N)])
    assert first.row not in first.neighbours
    assert len(first.neighbours) == 5


def test_of_one_label_nobody_is_suspected() -> None:
    assert ranked(np.array(["a"] * N), [str(n) for n in range(N)]) == []


def test_a_judge_has_a_column_for_each_class_and_none_but_zero_for_one_that_is_not_there() -> None:
    pictures = [smooth(number % 2, 32) for number in range(20)]
    targets = np.array([0, 2] * 10)
    groups = np.array([f"g{number}" for number in range(20)])
    found = label_errors.judge(vectors(pictures), targets, groups, 3)
    assert found.argmax(axis=1).tolist() == targets.tolist()
    assert found[:, 1].tolist() == [0] * 20


def test_more_samples_than_are_compared_at_once_are_judged_in_parts_that_no_group_crosses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[str]] = []
    supported = label_errors.supported

    def noted(*args: Any) -> Any:
        seen.append(set(args[2]))
        return supported(*args)

    monkeypatch.setattr(label_errors, "supported", noted)
    monkeypatch.setattr(nearest_neighbour_score, "MOST", 20)
    groups = np.array([f"g{number // 4}" for number in range(40)])
    targets = np.arange(40) // 4 % 2
    found = label_errors.judge(vectors([smooth(k, 32) for k in targets]), targets, groups, 2)
    assert found.argmax(axis=1).tolist() == targets.tolist()
    assert [len(each) for each in seen] == [5, 5]
    assert seen[0] & seen[1] == set()
