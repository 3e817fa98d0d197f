from collections.abc import Sequence

import pytest

from neuro.training import device, precision
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tests.neuro.training.test_trainer import PROBLEM

RECIPE = TrainConfig(model="cnn+resnet_small", freeze=1)


@pytest.mark.parametrize(
    ("bf16", "f32", "taken"),
    [
        ([1.0, 1.0, 9.0], [1.0, 1.0, 1.0], "bf16"),
        ([1.3, 1.3, 1.3], [1.0, 1.0, 1.0], "f32"),
        ([1.05], [1.0], "bf16"),
    ],
)
def test_the_faster_precision_is_taken_and_the_smaller_one_where_they_are_alike(
    bf16: Sequence[float], f32: Sequence[float], taken: str
) -> None:
    assert precision.faster({"bf16": bf16, "f32": f32}) == taken


def test_steps_of_the_network_are_timed_in_both() -> None:
    found = precision.seconds(Machine(device="cpu"), RECIPE, PROBLEM)
    assert {name: len(times) for name, times in found.items()} == {"bf16": 3, "f32": 3}
    assert all(time > 0 for times in found.values() for time in times)


@pytest.mark.parametrize("asked", ["bf16", "f32"])
def test_a_precision_that_is_given_is_not_measured(asked: str) -> None:
    machine = Machine(device="cpu", precision=asked)
    assert precision.settled(machine, RECIPE, PROBLEM) is machine


def test_where_it_is_open_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bf16_cpu", lambda: True)
    monkeypatch.setattr(precision, "seconds", lambda *_: {"bf16": [2.0], "f32": [1.0]})
    assert precision.settled(Machine(device="cpu"), RECIPE, PROBLEM).precision == "f32"
    monkeypatch.setattr(device, "has_bf16_cpu", lambda: False)
    machine = Machine(device="cpu")
    assert precision.settled(machine, RECIPE, PROBLEM) is machine
