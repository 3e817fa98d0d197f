"""A file made for other pictures than the frames: their range, colours and side."""

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone

COLOUR = PreprocessSpec(mode="RGB", size_px=96)
IMAGES = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def theirs(name: str, path: Path) -> torch.nn.Module:
    """A network of timm's, its file as the hub has it, and its own features."""
    network: torch.nn.Module = timm.create_model(name, num_classes=10).eval()
    save_file(network.state_dict(), path)
    network.reset_classifier(0)  # type: ignore[operator]
    return network


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224"])
def test_pixels_of_0_to_1_are_answered_as_the_files_own_pictures_were(
    tmp_path: Path, name: str
) -> None:
    spec = replace(COLOUR, size_px=224)
    network = theirs(name, tmp_path / "w.safetensors")
    ours = backbone.build(name, spec, n_classes=2, weights=tmp_path / "w.safetensors").eval()
    told = timm.get_pretrained_cfg(name)
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (told.mean, told.std))
    images = torch.nn.functional.interpolate(IMAGES, (224, 224))
    with torch.no_grad():
        assert torch.allclose(
            ours.backbone(images), network((images - mean) / deviation), atol=1e-4
        )
    assert ours.start is not None
    assert set(ours.start.adapted.values()) == {
        "made for pixels of 0..1",
        "less the mean of its pictures",
    }


@pytest.mark.parametrize(
    ("name", "stem"),
    [("tf_efficientnet_lite0", ("conv_stem", "bn1")), ("resnet18", ("conv1", "bn1"))],
)
def test_a_norm_that_is_frozen_meets_what_it_was_made_for(
    tmp_path: Path, name: str, stem: tuple[str, str]
) -> None:
    network = theirs(name, tmp_path / "w.safetensors")
    ours = backbone.build(name, COLOUR, n_classes=2, weights=tmp_path / "w.safetensors").eval()
    told = timm.get_pretrained_cfg(name)
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (told.mean, told.std))

    def behind_the_stem(made: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        for layer in stem:
            images = made.get_submodule(layer)(images)
        return images[..., 3:-3, 3:-3]  # what the border does not reach

    with torch.no_grad():
        expected = behind_the_stem(network, (IMAGES - mean) / deviation)
        assert torch.allclose(behind_the_stem(ours.backbone, IMAGES), expected, atol=1e-4)
    assert ours.start is not None
    assert ours.start.adapted["bn1.running_mean"] == "plus the mean of its pictures"


def test_frames_of_deviation_1_meet_the_file_as_it_is(tmp_path: Path) -> None:
    network = theirs("convnext_atto", tmp_path / "w.safetensors")
    spec = replace(COLOUR, intensity="standard")
    ours = backbone.build("convnext_atto", spec, n_classes=2, weights=tmp_path / "w.safetensors")
    with torch.no_grad():
        assert torch.allclose(ours.eval().backbone(IMAGES), network(IMAGES), atol=1e-5)


def test_weights_of_a_package_were_made_for_such_frames(tmp_path: Path) -> None:
    first = backbone.build("convnext_atto", COLOUR, n_classes=2).eval()
    save_file(first.state_dict(), tmp_path / "w.safetensors")
    second = backbone.build(
        "convnext_atto", COLOUR, n_classes=2, weights=tmp_path / "w.safetensors"
    )
    with torch.no_grad():
        assert torch.equal(first.backbone(IMAGES), second.eval().backbone(IMAGES))


def test_a_vision_transformer_takes_a_file_of_another_side(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    theirs(name, tmp_path / "w.safetensors")
    spec = replace(COLOUR, mode="L")
    network = backbone.build(name, spec, n_classes=2, weights=tmp_path / "w.safetensors")
    logits, _ = network(IMAGES[:, :1])
    assert logits.shape == (2, 2)
    assert network.start is not None
    assert network.start.adapted["pos_embed"] == "resampled to 6 x 6 patches"
    assert network.start.adapted["patch_embed.proj.weight"] == (
        "made for pixels of 0..1, summed over three colours"
    )
