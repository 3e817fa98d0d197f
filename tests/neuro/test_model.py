from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuro import model, networks
from neuro.errors import UnknownNameError
from neuro.recipe import DEFAULT_MODEL


def small(weights: Path | None = None) -> model.Network:
    return model.build(DEFAULT_MODEL, channels=1, n_classes=3, weights=weights)


@pytest.mark.parametrize("name", networks.OURS)
@pytest.mark.parametrize("side", [17, 96])
def test_our_own_models_answer_with_logits_and_embedding(name: str, side: int) -> None:
    network = model.build(name, channels=1, n_classes=3).eval()
    logits, embedding = network(torch.zeros(2, 1, side, side))
    assert logits.shape == (2, 3)
    assert embedding.shape == (2, 256)


@pytest.mark.parametrize(("name", "millions"), [("resnet_small", 1.2), ("cnn", 0.4)])
def test_our_own_models_are_as_large_as_they_say(name: str, millions: float) -> None:
    network = model.build(name, channels=1, n_classes=3)
    size = sum(weight.numel() for weight in network.parameters())
    assert round(size / 1e6, 1) == millions


def test_any_timm_name_gives_a_network_of_the_asked_channels() -> None:
    network = model.build("mobilenetv3_small_050", channels=1, n_classes=2).eval()
    logits, embedding = network(torch.zeros(1, 1, 64, 64))
    assert logits.shape == (1, 2)
    assert embedding.shape == (1, network.head.in_features)


def test_an_unknown_name_is_refused_with_near_misses() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean.*resnet18"):
        model.check("resnet1 8")


def test_a_misspelt_default_is_recognised() -> None:
    with pytest.raises(UnknownNameError, match="resnet_small"):
        model.check("resnet_smal")


def test_weights_of_a_network_start_another_with_more_classes(tmp_path: Path) -> None:
    first = small()
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    second = model.build(
        DEFAULT_MODEL, channels=1, n_classes=5, weights=tmp_path / "weights.safetensors"
    )
    wanted, loaded = first.backbone.state_dict(), second.backbone.state_dict()
    assert all(torch.equal(wanted[name], loaded[name]) for name in wanted)


@pytest.mark.parametrize(("mirror", "flip"), [(True, False), (False, True), (True, True)])
def test_averaging_over_poses_gives_one_answer_for_all_of_them(*, mirror: bool, flip: bool) -> None:
    network = model.build(DEFAULT_MODEL, channels=1, n_classes=3).eval()
    network.averages_mirror, network.averages_flip = mirror, flip
    images = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    turned = images.flip([side for side, is_asked in ((3, mirror), (2, flip)) if is_asked])
    assert torch.allclose(network(images)[0], network(turned)[0], atol=1e-6)
    assert not torch.allclose(network.glance(images), network.glance(turned), atol=1e-6)


def test_training_does_not_average_over_poses() -> None:
    network = model.build(DEFAULT_MODEL, channels=1, n_classes=3).train()
    images = torch.rand(4, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    plain = network(images)[0]
    network.averages_mirror = network.averages_flip = True
    assert torch.equal(network(images)[0], plain)
