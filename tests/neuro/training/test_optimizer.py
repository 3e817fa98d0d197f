from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neuro.training import optimizer
from neuro.training.config import TrainConfig

CYCLE = TrainConfig(learning_rate=1.0, warmup=0.2)


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [optimizer.rate(CYCLE, step, 100) for step in range(100)]
    assert np.argmax(rates) == 20
    assert rates[20] == 1.0
    assert rates[:20] == sorted(rates[:20])
    assert rates[60] == pytest.approx(0.5)  # half way down
    assert rates[-1] < 0.001


def test_a_cosine_starts_at_its_peak() -> None:
    rates = [optimizer.rate(replace(CYCLE, schedule="cosine"), step, 100) for step in range(100)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)


def test_norms_and_biases_do_not_shrink() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    shrunk, left = optimizer.parameter_groups(network, 0.1)
    assert (shrunk["weight_decay"], left["weight_decay"]) == (0.1, 0.0)
    assert shrunk["params"] == [network[0].weight]
    assert left["params"] == [network[0].bias, network[1].weight, network[1].bias]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_an_optimizer_is_the_one_named(name: str, kind: type) -> None:
    assert type(optimizer.optimizer(nn.Linear(2, 2), TrainConfig(optimizer=name))) is kind
