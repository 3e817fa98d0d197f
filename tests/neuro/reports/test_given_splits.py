"""Whether a source's test looks like its train."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neuro.reports import given_splits
from neuro.reports.given_splits import FEWEST, Difference

N = 160
SPLITS = np.array(["train"] * 120 + ["test"] * 40)
GROUPS = np.array([f"g{n // 2}" for n in range(N)])


def compared(
    pixels: NDArray[np.uint8], given: NDArray[np.str_] = SPLITS, groups: NDArray[np.str_] = GROUPS
) -> list[Difference]:
    """Of one class. pixels: (N, 32, 32), which are the thumbnails, too."""
    classes = np.full(N, "normal")
    return given_splits.compare(classes, given, groups, pixels[..., None], pixels.reshape(N, -1))


def noise() -> NDArray[np.uint8]:
    """Pictures of which no two are alike."""
    return np.random.default_rng(0).integers(60, 120, (N, 32, 32), dtype=np.uint8)


def with_mark(rows: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The same, of which some have a lighter lower half."""
    pixels = noise()
    pixels[rows, 16:] += 40
    return pixels


def test_a_test_split_of_other_pictures_is_told_apart() -> None:
    (found,) = compared(with_mark(SPLITS == "test"))
    assert (found.name, found.n) == ("normal", (120, 40))
    assert found.told_apart.value > 0.99
    assert found.told_apart.groups == N // 2


def test_a_test_split_that_is_only_darker_or_flatter_is_told_apart() -> None:
    darker, flatter = noise(), noise()
    darker[120:] //= 2
    flatter[120:] = 90 + (flatter[120:].astype(int) - 90) // 2
    for pixels in (darker, flatter):
        (found,) = compared(pixels)
        assert found.told_apart.value > 0.95


def test_a_test_split_of_such_pictures_as_were_learnt_is_not() -> None:
    (found,) = compared(noise())
    assert found.told_apart.low < 0.5 < found.told_apart.high


def test_what_a_group_shares_tells_nothing_of_its_split() -> None:
    """The mark is that of two large groups: within each fold the probe has not seen its mates."""
    groups = GROUPS.copy()
    groups[:20], groups[120:140] = "large a", "large b"
    marked = np.isin(groups, ("large a", "large b"))
    (found,) = compared(with_mark(marked), groups=groups)
    assert found.told_apart.value < 0.7


def test_the_picture_of_the_change_is_light_where_test_is_lighter() -> None:
    (found,) = compared(with_mark(SPLITS == "test"))
    change = np.asarray(Image.open(io.BytesIO(found.change)))
    assert change[16:].min() > 200
    assert 80 < change[:16].mean() < 170
    assert found.brightness[1] - found.brightness[0] == pytest.approx(20, abs=2)
    assert 40 <= found.largest < 60


def test_equal_pictures_have_a_grey_change() -> None:
    (found,) = compared(np.full((N, 32, 32), 90, np.uint8))
    assert np.ptp(np.asarray(Image.open(io.BytesIO(found.change)))) == 0
    assert (found.largest, found.told_apart.value) == (0, 0.5)


def test_an_image_that_lies_in_both_is_of_neither() -> None:
    given = SPLITS.copy().astype("<U10")
    given[:10] = "test+train"
    (found,) = compared(noise(), given)
    assert found.n == (110, 40)


@pytest.mark.parametrize("n_test", [0, FEWEST - 1])
def test_a_class_of_few_test_images_is_not_compared(n_test: int) -> None:
    given = np.array(["train"] * (N - n_test) + ["test"] * n_test)
    assert compared(noise(), given) == []
