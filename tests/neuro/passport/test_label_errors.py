import numpy as np

from neuro.duplicates import near_pairs
from neuro.passport import label_errors
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
