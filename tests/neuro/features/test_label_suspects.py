"""Labels ranked by vectors: what stands out among its neighbours is first."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neuro.features import label_suspects


def clouds(n: int) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Two clouds of n vectors each, at right angles, and their labels."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(8)[:2], n, axis=0)
    vectors = (centres + 0.05 * rng.normal(size=centres.shape)).astype(np.float32)
    return vectors, np.repeat(["a", "b"], n)


def test_a_label_that_its_neighbours_contradict_comes_first_with_theirs() -> None:
    vectors, labels = clouds(40)
    labels[7] = "b"
    (suspect,) = label_suspects.rank(vectors, labels, [str(row) for row in range(80)])
    assert (suspect.row, suspect.suggested) == (7, "a")
    assert set(labels[list(suspect.neighbours)]) == {"a"}


def test_one_class_has_no_suspects() -> None:
    vectors, _ = clouds(5)
    assert label_suspects.rank(vectors, np.repeat(["a"], 10), ["g"] * 10) == []


def test_the_closest_are_those_of_a_plain_comparison_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, _ = clouds(40)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = np.argsort(-(unit @ unit.T), axis=1, kind="stable")[:, :24]
    monkeypatch.setattr(label_suspects, "_BLOCK", 7)
    assert (np.sort(label_suspects.closest(vectors)) == np.sort(expected)).all()
