from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuro.errors import ConfigError, UnknownNameError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, own_networks
from neuro.training.config import DEFAULT_MODEL

NAMED = (
    "mobilenetv3_small_050",
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "densenet121",
    "legacy_xception",
    "convnext_tiny",
    "vit_small_patch16_224",
)


def small(weights: Path | None = None) -> backbone.Network:
    return backbone.build(DEFAULT_MODEL, PreprocessSpec(), n_classes=3, weights=weights)


@pytest.mark.parametrize("name", own_networks.OURS)
@pytest.mark.parametrize("side", [17, 96])
def test_our_own_models_answer_with_logits_and_embedding(name: str, side: int) -> None:
    network = backbone.build(name, PreprocessSpec(), n_classes=3).eval()
    logits, embedding = network(torch.zeros(2, 1, side, side))
    assert logits.shape == (2, 3)
    assert embedding.shape == (2, 256)


@pytest.mark.parametrize(("name", "millions"), [("resnet_small", 1.2), ("cnn", 0.4)])
def test_our_own_models_are_as_large_as_they_say(name: str, millions: float) -> None:
    network = backbone.build(name, PreprocessSpec(), n_classes=3)
    size = sum(weight.numel() for weight in network.parameters())
    assert round(size / 1e6, 1) == millions


def test_any_timm_name_gives_a_network_of_the_asked_channels() -> None:
    network = backbone.build("mobilenetv3_small_050", PreprocessSpec(), n_classes=2).eval()
    logits, embedding = network(torch.zeros(1, 1, 64, 64))
    assert logits.shape == (1, 2)
    assert embedding.shape == (1, network.head.in_features)


@pytest.mark.parametrize("name", NAMED)
def test_each_named_backbone_learns_from_frames_of_the_built_in_problems(name: str) -> None:
    network = backbone.build(name, PreprocessSpec(), n_classes=2)
    logits, embedding = network(torch.rand(2, 1, 96, 96))
    logits.sum().backward()
    assert embedding.shape == (2, network.head.in_features)
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("name", NAMED[:-1])
def test_a_side_of_which_the_last_stage_leaves_nothing_is_refused_unbuilt(name: str) -> None:
    backbone.check_side(name, 32)
    with pytest.raises(ConfigError, match="32 times smaller, and of 31 px that leaves nothing"):
        backbone.check_side(name, 31)


def test_a_side_below_the_stride_is_refused_for_the_first_views_too() -> None:
    network = backbone.build("resnet18", PreprocessSpec(), n_classes=2).eval()
    image = torch.zeros(1, 1, 64, 64)
    backbone.check_sides("resnet18", network, image, full=64, first=32)
    with pytest.raises(ConfigError, match=r"of 31 px that leaves nothing; change grow_from "):
        backbone.check_sides("resnet18", network, image, full=64, first=31)


def test_a_side_that_a_network_of_one_side_cannot_read_is_refused() -> None:
    network = backbone.build("levit_128s", PreprocessSpec(), n_classes=2).eval()
    image = torch.zeros(1, 1, 96, 96)
    with pytest.raises(ConfigError, match=r"cannot read frames of 64 px \(The .*change grow_from"):
        backbone.check_sides("levit_128s", network, image, full=96, first=64)


def test_our_own_networks_take_any_side() -> None:
    for name in own_networks.OURS:
        backbone.check_side(name, 17)


def test_an_unknown_name_is_refused_with_near_misses() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean.*resnet18"):
        backbone.check("resnet1 8")


def test_a_tag_that_timm_does_not_know_is_refused_with_those_it_knows() -> None:
    backbone.check("resnet18.a1_in1k")
    with pytest.raises(
        UnknownNameError, match=r"no weights 'a9' of 'resnet18'; .*resnet18\.a1_in1k"
    ):
        backbone.check("resnet18.a9")


def test_a_misspelt_default_is_recognised() -> None:
    with pytest.raises(UnknownNameError, match="resnet_small"):
        backbone.check("resnet_smal")


def test_weights_of_a_network_start_another_with_more_classes(tmp_path: Path) -> None:
    first = small()
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    second = backbone.build(
        DEFAULT_MODEL, PreprocessSpec(), n_classes=5, weights=tmp_path / "weights.safetensors"
    )
    wanted, loaded = first.backbone.state_dict(), second.backbone.state_dict()
    assert all(torch.equal(wanted[name], loaded[name]) for name in wanted)


@pytest.mark.parametrize(("mirror", "flip"), [(True, False), (False, True), (True, True)])
def test_averaging_over_poses_gives_one_answer_for_all_of_them(*, mirror: bool, flip: bool) -> None:
    network = backbone.build(DEFAULT_MODEL, PreprocessSpec(), n_classes=3).eval()
    network.averages_mirror, network.averages_flip = mirror, flip
    images = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    turned = images.flip([side for side, is_asked in ((3, mirror), (2, flip)) if is_asked])
    assert torch.allclose(network(images)[0], network(turned)[0], atol=1e-6)
    assert not torch.allclose(network.glance(images), network.glance(turned), atol=1e-6)


def test_training_does_not_average_over_poses() -> None:
    network = backbone.build(DEFAULT_MODEL, PreprocessSpec(), n_classes=3).train()
    images = torch.rand(4, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    plain = network(images)[0]
    network.averages_mirror = network.averages_flip = True
    assert torch.equal(network(images)[0], plain)
