import numpy as np
import pytest
from PIL import Image

from neuro.images import thumbnail

RNG = np.random.default_rng(0)
SIZES = [(32, 32), (33, 40), (150, 200), (224, 224), (97, 1201), (20, 31)]


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_thumbnail_is_within_one_grey_level_of_pillows(size: tuple[int, int]) -> None:
    grey = noise(*size)
    theirs = Image.fromarray(grey).resize((32, 32), Image.Resampling.BILINEAR)
    difference = thumbnail.thumbnail(grey).astype(int) - np.asarray(theirs)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_no_sum_leaves_the_whole_numbers_that_float32_holds(size: tuple[int, int]) -> None:
    weights = thumbnail.kernel(size[0], 32).astype(np.int64)
    assert (weights == thumbnail.kernel(size[0], 32)).all()
    assert (weights.sum(axis=1) == 1 << 16).all()
    assert 255 * (1 << 16) < 1 << 24


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_one_grey_level_stays_itself(level: int) -> None:
    grey = np.full((113, 61), level, np.uint8)
    assert (thumbnail.thumbnail(grey) == level).all()


def test_a_mirrored_picture_has_the_mirrored_thumbnail() -> None:
    grey = np.asarray(Image.fromarray(noise(12, 15)).resize((231, 187)))
    mirrored = thumbnail.thumbnail(grey[:, ::-1])[:, ::-1].astype(int)
    assert np.abs(mirrored - thumbnail.thumbnail(grey)).max() <= 1
