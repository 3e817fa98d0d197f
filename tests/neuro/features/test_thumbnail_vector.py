import numpy as np
import pytest

from neuro.duplicates import near_duplicates
from neuro.features import thumbnail_vector
from neuro.images import thumbnail


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def poses(grey: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(grey, turns) for turns in range(4)]
    return [*turned, *(pose[:, ::-1] for pose in turned)]


@pytest.mark.parametrize("shape", [(40, 40), (37, 91), (224, 224), (450, 601)])
def test_all_eight_flips_and_rotations_have_one_vector_to_the_bit(shape: tuple[int, int]) -> None:
    vectors = {thumbnail_vector.vector(pose).tobytes() for pose in poses(picture(*shape))}
    assert len(vectors) == 1


def test_a_picture_without_a_pose_of_its_own_has_one_vector_too() -> None:
    """A cross looks the same from four sides: the tie is broken by the numbers themselves."""
    cross = np.zeros((48, 48), np.uint8)
    cross[20:28] = cross[:, 20:28] = 255
    cross[2, 40] = 90
    assert len({thumbnail_vector.vector(pose).tobytes() for pose in poses(cross)}) == 1


def test_different_pictures_have_different_vectors() -> None:
    first, second = (thumbnail_vector.vector(picture(40, 40, seed)) for seed in (1, 2))
    assert abs(float(first @ second)) < 0.2


def test_a_vector_has_no_mean_and_length_one() -> None:
    vector = thumbnail_vector.vector(picture(64, 50))
    assert vector.dtype == np.float32
    assert float(vector.sum()) == pytest.approx(0, abs=1e-4)
    assert float(vector @ vector) == pytest.approx(1, abs=1e-5)


def test_a_flat_picture_is_zero() -> None:
    assert not thumbnail_vector.vector(np.full((40, 40), 7, np.uint8)).any()


def test_the_vector_is_the_thumbnail_that_twins_are_found_by_in_one_of_its_poses() -> None:
    """Rounding to grey levels apart, which the thumbnail has and the vector has not."""
    grey = picture(96, 96)
    small = thumbnail.thumbnail(grey)
    ours = thumbnail_vector.vector(grey)
    cosines = [
        float(near_duplicates.vectors([p.tobytes()])[0] @ ours) for p in map(np.array, poses(small))
    ]
    assert max(cosines) > 0.999
