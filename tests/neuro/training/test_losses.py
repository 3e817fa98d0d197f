from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from neuro.errors import ConfigError
from neuro.training import losses
from neuro.training.config import TrainConfig
from neuro.training.losses import Loss

CPU = torch.device("cpu")
PLAIN = TrainConfig(loss="plain", label_smoothing=0.0)
TARGETS = torch.tensor([0, 1, 2, 2, 0])
LOGITS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
COUNTS = np.array([100, 50, 1])


def shares(targets: torch.Tensor = TARGETS, k: int = 3) -> torch.Tensor:
    return F.one_hot(targets, k).float()


def test_rare_classes_weigh_more_up_to_a_bound() -> None:
    assert losses.class_weights(COUNTS).tolist() == [1.0, 2.0, 4.0]


def test_a_power_evens_the_weights_of_rare_classes() -> None:
    assert losses.class_weights(COUNTS, 0.5)[1] == pytest.approx(2**0.5)
    assert losses.class_weights(COUNTS, 0.0).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_plain_loss_is_cross_entropy(smoothing: float) -> None:
    found = Loss.of(replace(PLAIN, label_smoothing=smoothing), COUNTS, CPU)(LOGITS, shares())
    expected = F.cross_entropy(LOGITS, TARGETS, reduction="none", label_smoothing=smoothing)
    assert torch.allclose(found, expected)


def test_the_weighted_mean_is_that_of_torch() -> None:
    loss = Loss.of(replace(PLAIN, loss="weighted"), COUNTS, CPU)
    found = loss(LOGITS, shares()).sum() / loss.weights(shares()).sum()
    expected = F.cross_entropy(LOGITS, TARGETS, weight=torch.tensor([1.0, 2.0, 4.0]))
    assert torch.allclose(found, expected)


def test_the_focal_loss_forgets_what_is_known() -> None:
    focal = Loss.of(replace(PLAIN, loss="focal", sampler="balanced"), COUNTS, CPU)
    plain = Loss.of(PLAIN, COUNTS, CPU)
    known = F.softmax(LOGITS, dim=1)[range(5), TARGETS]
    assert torch.allclose(
        focal(LOGITS, shares()), plain(LOGITS, shares()) * (1 - known) ** 2, atol=1e-6
    )


def test_the_binary_loss_is_the_cross_entropy_of_two_classes() -> None:
    targets, logits = TARGETS % 2, LOGITS[:, :2]
    binary = Loss.of(replace(PLAIN, loss="binary", sampler="balanced"), COUNTS[:2], CPU)
    found = binary(logits, shares(targets, 2))
    assert torch.allclose(found, F.cross_entropy(logits, targets, reduction="none"))


def test_the_binary_loss_of_three_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="'binary' is for two classes, the problem has 3"):
        Loss.of(replace(PLAIN, loss="binary"), COUNTS, CPU)


def test_where_classes_are_drawn_evenly_none_weighs_more() -> None:
    loss = Loss.of(TrainConfig(sampler="balanced"), COUNTS, CPU)
    assert loss.class_weights.tolist() == [1.0, 1.0, 1.0]


def test_a_mixed_target_weighs_as_its_shares() -> None:
    loss = Loss.of(TrainConfig(), COUNTS, CPU)
    assert loss.weights(torch.tensor([[0.5, 0.0, 0.5]])).tolist() == [2.5]
