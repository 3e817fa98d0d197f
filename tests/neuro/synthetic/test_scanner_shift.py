import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.synthetic import scanner_shift

STILL = scanner_shift.Scanner(gamma=1.0, floor=0.0, blur=0.0, noise=0.0, spread=0.0)


def picture(side_px: int = 64) -> np.ndarray:
    """A bright disc on black."""
    axis = np.arange(side_px) - side_px / 2
    return np.where(np.hypot(*np.meshgrid(axis, axis)) < side_px / 4, 160, 0).astype(np.uint8)


def test_a_scanner_that_changes_nothing_gives_the_picture_back() -> None:
    assert np.array_equal(
        scanner_shift.shift(picture(), np.random.default_rng(0), STILL), picture()
    )


def test_the_contrast_curve_is_a_power() -> None:
    squared = scanner_shift.Scanner(gamma=2.0, floor=0.0, blur=0.0, noise=0.0, spread=0.0)
    flat = np.full((40, 40), 51, dtype=np.uint8)  # 0.2, and 0.2 ** 2 * 255 = 10.2
    assert (scanner_shift.shift(flat, np.random.default_rng(0), squared) == 10).all()


def test_grain_has_the_deviation_it_is_given() -> None:
    grainy = scanner_shift.Scanner(gamma=1.0, floor=0.0, blur=0.0, noise=0.04, spread=0.0)
    flat = np.full((200, 200), 128, dtype=np.uint8)
    seen = scanner_shift.shift(flat, np.random.default_rng(0), grainy)
    assert seen.std() == pytest.approx(0.04 * 255, rel=0.03)


def test_blur_grows_with_the_picture() -> None:
    soft = scanner_shift.Scanner(gamma=1.0, floor=0.0, blur=0.03, noise=0.0, spread=0.0)
    small, large = (
        scanner_shift.shift(picture(side), np.random.default_rng(0), soft)[side // 2]
        for side in (64, 256)
    )
    edges = [int(np.count_nonzero((row > 16) & (row < 144))) for row in (small, large)]
    assert edges[1] == pytest.approx(4 * edges[0], rel=0.25)


def test_one_seed_gives_one_picture() -> None:
    first, again = (scanner_shift.shift(picture(), np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, again)


def test_a_grey_picture_in_three_channels_stays_grey() -> None:
    colour = np.repeat(picture()[..., None], 3, axis=2)
    seen = scanner_shift.shift(colour, np.random.default_rng(0))
    assert seen.shape == colour.shape
    assert (seen == seen[..., :1]).all()
    assert np.array_equal(seen[..., 0], scanner_shift.shift(picture(), np.random.default_rng(0)))


def test_the_picture_that_came_in_is_unchanged() -> None:
    given = picture()
    scanner_shift.shift(given, np.random.default_rng(0))
    assert np.array_equal(given, picture())


def test_a_negative_exponent_is_refused() -> None:
    with pytest.raises(ConfigError, match="gamma must be above 0"):
        scanner_shift.Scanner(gamma=-1.0)


def test_a_scanner_of_twice_the_strength_is_twice_as_far() -> None:
    one = scanner_shift.Scanner(gamma=0.5, floor=0.1, blur=0.01, noise=0.02)
    assert one.scaled(2) == scanner_shift.Scanner(gamma=0.25, floor=0.2, blur=0.02, noise=0.04)
