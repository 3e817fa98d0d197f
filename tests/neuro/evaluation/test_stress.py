"""Worse pictures: what is done to them, and what is counted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neuro.evaluation import stress
from neuro.evaluation.stress import CHANGES, MOST, STRENGTHS
from neuro.prediction.predict import Engine
from tests.neuro.evaluation.test_evaluate import engine as engine
from tests.neuro.evaluation.test_evaluate import frames


def picture(channels: int = 1) -> NDArray[np.uint8]:
    """A bright square off the middle of a dim slope."""
    levels = np.tile(np.linspace(20, 90, 96), (96, 1))
    levels[18:54, 24:60] = 200
    return np.repeat(levels[..., None].astype(np.uint8), channels, axis=2)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_strength_changes_a_picture_more_than_the_one_before(name: str, channels: int) -> None:
    change, amounts = CHANGES[name]
    plain = picture(channels).astype(float)
    distances = []
    for amount in amounts:
        changed = change(picture(channels), amount)
        assert (changed.shape, changed.dtype) == (plain.shape, np.uint8)
        distances.append(np.abs(changed - plain).mean())
    assert len(amounts) == STRENGTHS
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_each_change_is_made_at_each_strength_beside_the_pictures_as_they_are(
    engine: Engine,
) -> None:
    found = list(stress.sheet(engine, frames(), frames().labelled("test")))
    assert [(each.change, each.strength) for each in found[:2]] == [
        ("none", 0),
        ("gamma (exponent)", 1),
    ]
    assert len(found) == 1 + STRENGTHS * len(CHANGES)
    assert found[0].accuracy == 0.75
    assert all(each.n == 4 for each in found)


def test_a_model_of_brightness_is_wrong_when_the_pictures_are_darker(engine: Engine) -> None:
    """Its grey and its bright become dark."""
    found = {
        (each.change, each.strength): each
        for each in stress.sheet(engine, frames(), frames().labelled("test"))
    }
    assert found["gamma (exponent)", STRENGTHS].accuracy < found["none", 0].accuracy


def test_whole_groups_are_drawn_and_no_more_than_the_most() -> None:
    groups = np.array([f"g{number // 7}" for number in range(2100)])
    rows = np.arange(0, 2100, 2)
    chosen = stress.some(rows, groups)
    assert MOST - 7 < len(chosen) <= MOST
    drawn = set(groups[chosen].tolist())
    assert len(chosen) == sum(group in drawn for group in groups[rows].tolist())
    assert chosen.tolist() == sorted(chosen.tolist()) != rows[: len(chosen)].tolist()


def test_of_one_group_that_is_larger_than_the_most_some_are_shown() -> None:
    chosen = stress.some(np.arange(500), np.array(["g"] * 500))
    assert len(np.unique(chosen)) == MOST
