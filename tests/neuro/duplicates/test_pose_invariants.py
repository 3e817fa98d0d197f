import numpy as np
import pytest

from neuro.duplicates import pose_invariants

RNG = np.random.default_rng(0)
PICTURES = RNG.normal(size=(40, 32, 32)) / (np.hypot(*np.indices((32, 32))) + 1)


def unit(pictures: np.ndarray) -> np.ndarray:
    rows = pictures.reshape(len(pictures), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def posed(pictures: np.ndarray, pose: int) -> np.ndarray:
    """One of the eight poses, by coordinates."""
    turned = pictures.swapaxes(1, 2) if pose & 4 else pictures
    return turned[:, :: -1 if pose & 2 else 1, :: -1 if pose & 1 else 1]


def best(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    every = [
        unit(posed(left, pose)).astype(float) @ unit(right).T.astype(float) for pose in range(8)
    ]
    return np.asarray(np.max(every, axis=0))


def test_with_nothing_left_out_the_cosine_is_that_of_the_best_pose() -> None:
    left, right = PICTURES[:15], PICTURES[15:]
    found = pose_invariants.best_cosines(
        pose_invariants.split(unit(left)), pose_invariants.split(unit(right))
    )
    assert np.allclose(found, best(left, right), atol=1e-5)


@pytest.mark.parametrize("radius", [2, 8, 13])
def test_with_something_left_out_the_cosine_is_never_below(radius: float) -> None:
    parts = pose_invariants.split(unit(PICTURES), radius)
    exact = best(PICTURES, PICTURES)
    bound = pose_invariants.best_cosines(parts, parts)
    assert (bound >= exact - 1e-5).all()
    assert (bound - exact).max() > 1e-3  # it is a bound, not the thing itself


def test_pairs_one_by_one_have_the_cosines_of_all_with_all() -> None:
    parts = pose_invariants.split(unit(PICTURES), 8)
    every = pose_invariants.best_cosines(parts, parts)
    i, j = np.arange(40), (np.arange(40) * 7 + 3) % 40
    assert np.allclose(pose_invariants.paired_cosines(parts[i], parts[j]), every[i, j], atol=1e-6)


@pytest.mark.parametrize("pose", range(8))
def test_no_pose_changes_the_invariants(pose: int) -> None:
    upright, turned = (
        pose_invariants.invariants(pose_invariants.split(unit(pictures), 8))
        for pictures in (PICTURES, posed(PICTURES, pose))
    )
    assert np.allclose(upright, turned, atol=1e-5)


@pytest.mark.parametrize("radius", [2, 8, 64])
def test_the_product_of_invariants_is_never_below_the_cosine(radius: float) -> None:
    found = pose_invariants.invariants(pose_invariants.split(unit(PICTURES), radius))
    assert (found @ found.T >= best(PICTURES, PICTURES) - 1e-5).all()
    assert np.allclose((found**2).sum(axis=1), 1, atol=1e-5)
