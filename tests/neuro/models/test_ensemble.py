from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from neuro.errors import ConfigError, UnknownNameError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, ensemble
from neuro.models.backbone import Network

SPEC = PreprocessSpec(size_px=48)
IMAGES = torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))


def networks(*names: str) -> list[Network]:
    return [backbone.build(name, SPEC, n_classes=3).eval() for name in names]


@torch.no_grad()
def test_an_ensemble_answers_with_the_mean_of_its_members_logits() -> None:
    members = networks("resnet_small", "cnn")
    logits, embedding = backbone.join(members).eval()(IMAGES)
    own = [member(IMAGES) for member in members]
    torch.testing.assert_close(logits, (own[0][0] + own[1][0]) / 2)
    torch.testing.assert_close(embedding, torch.cat([own[0][1], own[1][1]], dim=1))


@torch.no_grad()
def test_what_each_member_says_is_known_from_the_embeddings_of_all() -> None:
    members = networks("resnet_small", "cnn")
    whole = backbone.join(members).eval()
    said = whole.member_logits(whole(IMAGES)[1])
    torch.testing.assert_close(said, torch.stack([member(IMAGES)[0] for member in members]))
    assert len(members[0].member_logits(members[0](IMAGES)[1])) == 0


@torch.no_grad()
def test_a_member_sees_pictures_of_its_own_side() -> None:
    (small,) = networks("cnn@32")
    seen = torch.nn.functional.interpolate(IMAGES, (32, 32), mode="bilinear")
    torch.testing.assert_close(small(IMAGES)[1], small.backbone(seen))
    joined = backbone.join([small, *networks("cnn")]).eval()
    torch.testing.assert_close(joined(IMAGES)[1][:, :256], small(IMAGES)[1])


@torch.no_grad()
def test_an_ensemble_is_built_again_by_its_name() -> None:
    whole = backbone.join(networks("cnn@32", "resnet_small")).eval()
    again = backbone.build("cnn@32+resnet_small", SPEC, n_classes=3).eval()
    again.load_state_dict(whole.state_dict())
    torch.testing.assert_close(again(IMAGES)[0], whole(IMAGES)[0])


@pytest.mark.parametrize("name", ["cnn@", "cnn@8", "cnn@x", "cnn@2000", "+".join(["cnn"] * 17)])
def test_a_wrong_side_or_too_many_members_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"side in px|at most 16"):
        backbone.check(name)


@pytest.mark.parametrize("name", ["cnn+resnet_smal", "cnn+", "+cnn"])
def test_every_member_must_be_known(name: str) -> None:
    with pytest.raises(UnknownNameError):
        backbone.check(name)


def test_a_name_says_its_members() -> None:
    assert [str(each) for each in ensemble.members("cnn@32+resnet18")] == ["cnn@32", "resnet18"]


def test_an_ensemble_is_one_graph(tmp_path: Path) -> None:
    whole = backbone.join(networks("cnn@32", "resnet_small")).eval()
    path = f"{tmp_path}/model.onnx"
    torch.onnx.export(whole, (IMAGES,), path, input_names=["pixels"], dynamo=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answer = session.run(None, {"pixels": IMAGES.numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(answer, whole(IMAGES)[0].numpy(), rtol=1e-4, atol=1e-4)


def test_nothing_starts_from_the_package_of_an_ensemble(tmp_path: Path) -> None:
    whole = backbone.join(networks("cnn", "resnet_small"))
    save_file({k: v.contiguous() for k, v in whole.state_dict().items()}, tmp_path / "w")
    with pytest.raises(ConfigError, match="package of an ensemble"):
        backbone.build("cnn+resnet_small", SPEC, n_classes=3, weights=tmp_path / "w")
