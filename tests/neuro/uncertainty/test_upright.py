"""A turned picture, told by its gradients."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from neuro.uncertainty import gradient_histograms, upright
from neuro.uncertainty.upright import EMBEDDING, TURNS, Upright

SIDE, N = 48, 120


def pictures(n: int, seed: int, turn: int = 0) -> NDArray[np.uint8]:
    """Noise that grows lighter downwards, (n, SIDE, SIDE, 1), turned by quarters."""
    rng = np.random.default_rng([seed])
    light = np.linspace(20, 220, SIDE)[None, :, None, None]
    drawn = np.clip(light + rng.normal(0, 12, (n, SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(drawn, turn, axes=(1, 2)))


def scores(look: Upright, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    return look.scores(np.zeros((len(frames), 2)), frames, None)


FRAMES = pictures(2 * N, 0)
LOOK = upright.fit(FRAMES, np.arange(N), np.arange(N, 2 * N))


def test_turned_pictures_are_above_the_limit_and_upright_ones_below() -> None:
    assert (scores(LOOK, pictures(100, 1)) <= 1).mean() > 0.96
    for turn in range(1, TURNS):
        assert (scores(LOOK, pictures(100, 1, turn)) > 1).mean() > 0.96


def test_where_pictures_look_alike_from_each_side_nothing_much_is_called_turned() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (3 * N, SIDE, SIDE, 1)).astype(np.uint8)
    look = upright.fit(noise, np.arange(N), np.arange(N, 2 * N))
    assert (scores(look, noise[2 * N :]) > 1).mean() < 0.05


def test_some_rows_of_the_frames_are_asked_about() -> None:
    rows = np.array([3, 1])
    some = LOOK.scores(np.zeros((2, 2)), FRAMES, rows)
    # What is multiplied together decides the last bits, by processor.
    assert some == pytest.approx(scores(LOOK, FRAMES)[rows], rel=1e-9)


def test_a_package_without_the_look_calls_nothing_turned_and_without_frames_none_does() -> None:
    assert scores(Upright(), pictures(3, 0, 2)).tolist() == [0, 0, 0]
    assert LOOK.scores(np.zeros((3, 2)), None, None).tolist() == [0, 0, 0]


def test_an_older_package_sees_the_embedding() -> None:
    weights = tuple((float(row), -float(row)) for row in range(TURNS))
    old = Upright(weights=weights, bias=(0.0,) * TURNS, threshold=0.5, sees=EMBEDDING)
    turned, plain = old.scores(np.array([[9.0, 0.0], [0.0, 9.0]]), pictures(2, 0), None)
    assert plain < 1 < turned


def test_a_picture_that_is_rather_upright_than_not_is_below_the_limit() -> None:
    """However surely the upright ones that were kept back are told."""
    assert LOOK.threshold >= -np.log(0.5) - 1e-4
    assert replace(LOOK, threshold=1.0).scores(np.zeros((1, 2)), FRAMES[:1], None)[0] < 0.1


def test_a_turn_moves_the_places_and_the_directions_of_gradients() -> None:
    """By a quarter: places as rot90 moves them, directions by a quarter of the bins."""
    frames = pictures(4, 5)
    plain = gradient_histograms.describe(frames)
    for quarters in range(TURNS):
        turned = gradient_histograms.describe(np.rot90(frames, quarters, axes=(1, 2)))
        assert np.allclose(turned, gradient_histograms.turned(plain, quarters), atol=1e-4)


def test_all_channels_are_seen() -> None:
    coloured = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    coloured[..., 2] = pictures(1, 0)[..., 0]
    assert gradient_histograms.describe(coloured).max() > 0.1


def test_a_side_that_cells_do_not_divide_is_seen_in_its_middle() -> None:
    frames = np.zeros((1, 17, 17, 3), np.uint8)
    assert gradient_histograms.describe(frames).shape == (1, gradient_histograms.WIDTH)
    assert gradient_histograms.describe(frames[:0]).shape == (0, gradient_histograms.WIDTH)
