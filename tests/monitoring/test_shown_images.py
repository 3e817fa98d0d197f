"""Which images a report shows."""

import numpy as np
import pytest

from monitoring import shown_images
from monitoring.windows import Observed
from neuro.features import descriptors

N, NOISE = len(descriptors.NAMES), descriptors.NAMES.index("noise")


def side(rows: int, rng: np.random.Generator, of_each: int = 1) -> Observed:
    share = rng.uniform(size=rows)
    return Observed(
        groups=np.array([f"group {row // of_each}" for row in range(rows)]),
        descriptors=rng.normal(size=(rows, N)),
        features=np.zeros((rows, 1)),
        probabilities=np.column_stack((share, 1 - share)),
        confidence=np.maximum(share, 1 - share),
        correct=np.full(rows, np.nan),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_typical_is_what_lies_nearest_to_the_median_of_the_figure_that_moved_most(
    rng: np.random.Generator,
) -> None:
    before, now = side(200, rng), side(101, rng)
    now.descriptors[:, NOISE] = np.linspace(5, 6, 101)
    shown = shown_images.choose(before, now)
    assert shown.figure == "noise"
    assert set(shown.now[:7]) == {47, 48, 49, 50, 51, 52, 53}
    nearest = np.abs(before.descriptors[:, NOISE] - np.median(before.descriptors[:, NOISE]))
    assert np.array_equal(shown.before, np.argsort(nearest)[: shown_images.MOST])


def test_the_unusual_are_the_farthest_in_any_figure_the_strangest_first(
    rng: np.random.Generator,
) -> None:
    now = side(50, rng)
    now.descriptors[7, 0], now.descriptors[9, 3] = 40.0, -60.0
    assert shown_images.choose(side(200, rng), now).unusual[:2].tolist() == [9, 7]


def test_a_group_is_shown_once_of_each_kind(rng: np.random.Generator) -> None:
    shown = shown_images.choose(side(40, rng, of_each=4), side(30, rng, of_each=10))
    assert (len(shown.before), len(shown.now), len(shown.unusual)) == (8, 3, 3)
    assert len(set(shown.unusual // 10)) == 3
