"""Whether a map points at what decides: where that is known."""

import numpy as np
from numpy.typing import NDArray

from neuro.explanation import faithfulness

SIDE = 48
SQUARE = (slice(8, 20), slice(28, 40))


def pictures(n: int = 4) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(0).integers(0, 40, (n, SIDE, SIDE, 1), dtype=np.uint8)
    drawn[:, SQUARE[0], SQUARE[1]] = 250
    return drawn


def brightness_of_square(frames: NDArray[np.uint8], _: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(frames[:, SQUARE[0], SQUARE[1]].mean(axis=(1, 2, 3)) / 255)


def gap(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    classes = np.zeros(len(maps), np.int64)
    return faithfulness.judge(brightness_of_square, pictures(), classes, maps).gap


def of_square() -> NDArray[np.float32]:
    maps = np.zeros((4, SIDE, SIDE), np.float32)
    maps[:, SQUARE[0], SQUARE[1]] = 1
    return maps


def test_a_map_of_what_decides_beats_noise_and_its_opposite_is_worse_than_that() -> None:
    right, wrong = gap(of_square()), gap(-of_square())
    noise = gap(faithfulness.noise(4, 6, SIDE))
    assert (right > noise).all()
    assert (noise > wrong).all()
    assert (right > 0.4).all()


def test_a_map_that_marks_nothing_points_at_nothing() -> None:
    """Its places come in an order of their own, not from the upper left to the lower right."""
    assert np.abs(gap(np.zeros((4, SIDE, SIDE), np.float32))).max() < 0.12


def test_the_first_and_last_stages_are_the_picture_and_the_blurred_one() -> None:
    seen: list[NDArray[np.uint8]] = []

    def keep(frames: NDArray[np.uint8], classes: NDArray[np.int64]) -> NDArray[np.float64]:
        seen.append(frames)
        return np.zeros(len(classes))

    faithfulness.judge(keep, pictures(1), np.zeros(1, np.int64), of_square()[:1])
    (stages,) = seen
    half = faithfulness.STEPS + 1
    assert len(stages) == 2 * half
    assert np.array_equal(stages[0], pictures(1)[0])
    assert np.array_equal(stages[-1], pictures(1)[0])
    assert np.array_equal(stages[half - 1], stages[half])
    assert stages[half].std() < stages[0].std()


def test_a_map_is_enlarged_so_that_each_cell_stands_in_the_middle_of_its_square() -> None:
    small = np.zeros((1, 3, 3), np.float32)
    small[0, 1, 2] = 1
    large = faithfulness.enlarged(small, 9)[0]
    assert np.unravel_index(large.argmax(), large.shape)[0] == 4
    assert large[4, 7] == 1
    assert large[4, 1] == 0
