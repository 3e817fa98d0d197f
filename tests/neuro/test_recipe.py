import numpy as np
import pytest
from torch import nn

from neuro import recipe


def test_rare_classes_weigh_more_up_to_a_bound() -> None:
    found = recipe.class_weights(np.array([100, 50, 1]))
    assert found.tolist() == [1.0, 2.0, 4.0]


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [recipe.one_cycle(step, 100, peak=1.0, warmup=0.2) for step in range(100)]
    assert np.argmax(rates) == 20
    assert rates[20] == 1.0
    assert rates[:20] == sorted(rates[:20])
    assert rates[60] == pytest.approx(0.5)  # half way down
    assert rates[-1] < 0.001


def test_norms_and_biases_do_not_shrink() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    shrunk, left = recipe.parameter_groups(network, 0.1)
    assert (shrunk["weight_decay"], left["weight_decay"]) == (0.1, 0.0)
    assert shrunk["params"] == [network[0].weight]
    assert left["params"] == [network[0].bias, network[1].weight, network[1].bias]
