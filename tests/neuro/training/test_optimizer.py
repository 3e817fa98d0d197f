from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neuro.models.backbone import Network
from neuro.training import optimizer
from neuro.training.config import TrainConfig

CYCLE = TrainConfig(learning_rate=1.0, warmup=0.2)


def rates(config: TrainConfig, n_steps: int) -> list[float]:
    """The learning rate of each step."""
    made = optimizer.build(nn.Linear(2, 2), config)
    schedule, found = optimizer.schedule(made, config, n_steps), []
    for _ in range(n_steps):
        found.append(made.param_groups[0]["lr"])
        made.step()
        schedule.step()
    return found


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    found = rates(CYCLE, 100)
    assert np.argmax(found) == 20
    assert found[20] == 1.0
    assert found[:20] == sorted(found[:20])
    assert found[0] == pytest.approx(1 / 21)
    assert found[60] == pytest.approx(0.5)  # half way down
    assert found[-1] < 0.001


def test_a_cosine_starts_at_its_peak() -> None:
    found = rates(replace(CYCLE, schedule="cosine"), 100)
    assert found[0] == 1.0
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_the_shortest_training_has_a_rate_in_every_step(n_steps: int) -> None:
    assert all(0 < rate <= 1 for rate in rates(CYCLE, n_steps))


def test_norms_and_biases_do_not_shrink() -> None:
    network = Network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), 2, 2)
    shrunk, left = optimizer.parameter_groups(network, TrainConfig(weight_decay=0.1))
    assert (shrunk["weight_decay"], left["weight_decay"]) == (0.1, 0.0)
    assert {weight.ndim for weight in shrunk["params"]} == {2, 4}
    assert {weight.ndim for weight in left["params"]} == {1}
    assert len(shrunk["params"]) + len(left["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_an_optimizer_is_the_one_named(name: str, kind: type) -> None:
    assert type(optimizer.build(Network(nn.Identity(), 2, 2), TrainConfig(optimizer=name))) is kind
