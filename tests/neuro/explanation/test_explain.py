"""What is told of answers, and the sentence on whether maps can be believed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from neuro.explanation import explain
from neuro.explanation.explain import BLOB, BRIGHTNESS, NOISE, SHOWN, Checked
from tests.neuro.explanation.test_class_maps import mapper, network, pictures


def asked(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.tile([0.2, 0.5, 0.3], (len(pixels), 1))


def test_the_class_it_is_called_is_held_against_the_next_likely() -> None:
    told = explain.explain(asked, mapper(network()), pictures(2))
    assert (told.called.tolist(), told.instead.tolist()) == ([1, 1], [2, 2])
    assert told.maps.shape == told.against.shape == (2, 24, 24)


def test_another_class_may_be_named_but_not_the_one_it_is_called() -> None:
    told = explain.explain(
        asked, mapper(network()), pictures(3), instead=np.array([0, 1, -1], np.int64)
    )
    assert told.instead.tolist() == [0, 2, 2]


def checked(shown: float, noise: float, blob: float, alike: float, n: int = 20) -> Checked:
    values = {SHOWN: shown, NOISE: noise, BLOB: blob, BRIGHTNESS: 0.0}
    return Checked(
        gaps={name: np.full(n, value) for name, value in values.items()},
        alike=np.full(n, alike),
    )


def test_maps_that_beat_noise_and_the_blob_and_change_are_believed() -> None:
    is_believed, said = explain.verdict(checked(0.4, 0.0, 0.3, 0.1))
    assert is_believed
    assert said.startswith("The maps point at what decides")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (checked(0.01, 0.0, 0.0, 0.1), "does not decide the answer"),
        (checked(0.4, 0.5, 0.0, 0.1), "better than noise in 0.0%"),
        (checked(0.4, 0.0, 0.5, 0.1), "a blob in the middle"),
        (checked(0.4, 0.0, 0.3, 0.9), "stay alike when the weights are shuffled"),
    ],
)
def test_maps_that_fail_are_said_to_explain_nothing_and_why(found: Checked, why: str) -> None:
    is_believed, said = explain.verdict(found)
    assert not is_believed
    assert "explain nothing here" in said
    assert why in said


def test_few_right_answers_are_too_few_to_judge_by() -> None:
    is_believed, said = explain.verdict(checked(0.4, 0.0, 0.3, 0.1, n=explain.FEW - 1))
    assert not is_believed
    assert "there are 19" in said


def test_a_network_that_has_learnt_nothing_fails() -> None:
    ours = mapper(network())
    model = explain.answers_of_network(ours)
    frames = pictures(explain.FEW)
    told = explain.explain(model, ours, frames)
    assert not explain.verdict(explain.check(model, ours, frames, told))[0]
