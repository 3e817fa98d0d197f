import numpy as np
import pytest

from neuro.duplicates import near_pairs as nearest
from neuro.duplicates import twins
from neuro.duplicates.pose_invariants import Vectors


def flipped(picture: np.ndarray, pose: int) -> np.ndarray:
    """One of the eight poses, by coordinates."""
    turned = picture.T if pose & 4 else picture
    return turned[:: -1 if pose & 2 else 1, :: -1 if pose & 1 else 1]


@pytest.fixture(scope="module")
def rows() -> Vectors:
    """600 pictures, smooth to rough: noisy copies of 60, each copy in a pose of its own."""
    rng = np.random.default_rng(0)
    scale = np.hypot(*np.indices((32, 32))) + 1
    pictures = []
    for number in range(600):
        source = np.random.default_rng(number % 60).normal(size=(32, 32)) / scale
        smooth = np.real(np.fft.ifft2(source + rng.normal(size=(32, 32)) / scale * 0.15))
        rough = rng.normal(size=(32, 32)) * smooth.std() * (number % 7) * 0.1
        mixed = flipped(smooth + rough, number % 8)
        grey = 128 + mixed * 100 / np.abs(mixed).max()
        pictures.append(np.ascontiguousarray(grey.astype(np.uint8)).tobytes())
    return twins.vectors(pictures)


@pytest.fixture(scope="module")
def cosines(rows: Vectors) -> np.ndarray:
    """All pairs in full, in double precision."""
    pictures = rows.astype(float).reshape(-1, 32, 32)
    every = [np.stack([flipped(p, pose) for p in pictures]).reshape(600, -1) for pose in range(8)]
    best: np.ndarray = np.max([pose @ every[0].T for pose in every], axis=0)
    return best


@pytest.mark.parametrize("cosine", [0.9, 0.97])
@pytest.mark.parametrize("first", [0, 400])
def test_every_near_pair_is_found_and_no_other(
    rows: Vectors, cosines: np.ndarray, cosine: float, first: int
) -> None:
    expected = np.argwhere(np.triu(cosines >= cosine, 1))
    expected = expected[expected[:, 1] >= first]
    assert len(expected) > 50
    found = nearest.near_pairs(rows, first, cosine)
    assert sorted(found.tolist()) == sorted(expected.tolist())


def test_the_nearest_picture_is_the_nearest_of_all_that_may_be_chosen(
    rows: Vectors, cosines: np.ndarray
) -> None:
    rng = np.random.default_rng(1)
    neighbours = nearest.Neighbours(rows)
    for share in (0.85, 0.02):  # with few to choose from, none of the closest is among them
        among = rng.random(600) < share
        asked = np.flatnonzero(~among)
        found = neighbours.nearest(asked, among)
        assert among[found].all()
        best = np.where(among, cosines[asked], -1).max(axis=1)
        assert np.allclose(cosines[asked, found], best, atol=1e-5)


def test_one_picture_alone_has_no_pair() -> None:
    assert nearest.near_pairs(twins.vectors([bytes(range(256)) * 4]), 0, 0.97).shape == (
        0,
        2,
    )
