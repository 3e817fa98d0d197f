import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from neuro.errors import ConfigError, TrainingError, UnknownNameError
from neuro.features import embedding
from neuro.features.embedding import Backbone
from neuro.models import backbone as backbones

NAME = "test_resnet"  # of timm: small


def encoded(seed: int, size: tuple[int, int] = (60, 44), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return embedding.backbone(NAME, precision="f32")


def test_the_vector_is_what_the_network_gives_before_its_last_layer(backbone: Backbone) -> None:
    """By the plain way: Pillow, whole numbers to 0..1, less the mean over the deviation."""
    raw, made = encoded(0), backbones.extractor(NAME)
    with Image.open(io.BytesIO(raw)) as opened:
        side = (made.size_px, made.size_px)
        small = opened.convert("RGB").resize(side, Image.Resampling.BILINEAR)
    scaled = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (made.mean, made.deviation))
    with torch.inference_mode():
        expected = made.network((scaled - mean) / deviation).numpy()[0]
    assert np.abs(backbone.encode([raw])[0] - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_vector_depends_on_its_image_alone(backbone: Backbone) -> None:
    images = [encoded(seed) for seed in range(embedding.BATCH + 3)]
    together = backbone.encode(images)
    alone = np.concatenate([backbone.encode([raw]) for raw in images[-4:]])
    assert (together[-4:] == alone).all()


def test_an_encoder_that_was_sent_elsewhere_gives_the_same_bits(backbone: Backbone) -> None:
    sent = pickle.loads(pickle.dumps(backbone))  # noqa: S301 - our own bytes
    embedding._built.cache_clear()
    assert (sent.encode([encoded(1)]) == backbone.encode([encoded(1)])).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_frame_is_what_pillow_decodes(backbone: Backbone, kind: str) -> None:
    raw = encoded(2, kind=kind)
    side = (backbone.input.size_px, backbone.input.size_px)
    with Image.open(io.BytesIO(raw)) as opened:
        expected = opened.convert("RGB").resize(side, Image.Resampling.BILINEAR)
    assert (backbone.input.frame(raw) == np.asarray(expected)).all()


def test_a_random_start_is_always_the_same_and_leaves_no_trace() -> None:
    before = torch.random.get_rng_state()
    first, second = (embedding.backbone(NAME, precision="f32") for _ in range(2))
    assert first.digest == second.digest
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_of_a_file_are_in_the_digest_whatever_the_file_is_called(
    backbone: Backbone, tmp_path: Path
) -> None:
    tensors = {k: v.clone() for k, v in backbones.extractor(NAME).network.state_dict().items()}
    save_file(tensors, tmp_path / "same.safetensors")
    name = next(k for k, v in tensors.items() if v.ndim == 4)
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, tmp_path / "other.safetensors")
    same = embedding.backbone(NAME, tmp_path / "same.safetensors", "f32")
    other = embedding.backbone(NAME, tmp_path / "other.safetensors", "f32")
    assert same.digest == backbone.digest != other.digest
    assert np.abs(other.encode([encoded(0)]) - backbone.encode([encoded(0)])).max() > 0


def test_precision_and_preprocess_are_in_the_digest(backbone: Backbone) -> None:
    assert replace(backbone, precision="bf16").digest != backbone.digest
    larger = replace(backbone, input=replace(backbone.input, size_px=96))
    assert larger.digest != backbone.digest
    assert larger.preprocess_hash != backbone.preprocess_hash


def test_weights_that_are_others_where_it_encodes_are_refused(backbone: Backbone) -> None:
    with pytest.raises(ConfigError, match="give the same file everywhere"):
        replace(backbone, weights_digest="0" * 64).encode([encoded(0)])


def test_bf16_without_a_processor_for_it_is_refused(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "fastest", lambda: "f32")
    with pytest.raises(ConfigError, match="give --precision f32"):
        replace(backbone, precision="bf16", name="elsewhere").encode([encoded(0)])


@pytest.mark.skipif(embedding.fastest() != "bf16", reason="no bf16 here, or no OpenVINO")
def test_bf16_is_near_f32_and_depends_on_the_image_alone(backbone: Backbone) -> None:
    fast, images = replace(backbone, precision="bf16"), [encoded(seed) for seed in range(20)]
    found, expected = fast.encode(images), backbone.encode(images)
    assert np.abs(found - expected).max() < 2e-2 * np.abs(expected).max()
    assert (fast.encode(images[18:])[0] == found[18]).all()


def test_a_network_that_cannot_be_exported_runs_as_it_is(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = backbone.encode([encoded(0)])
    monkeypatch.setattr(embedding, "_exported", lambda network, size_px: None)
    embedding._built.cache_clear()
    found = backbone.encode([encoded(0)])
    embedding._built.cache_clear()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_an_unknown_backbone_is_told_with_what_is_near_it() -> None:
    with pytest.raises(UnknownNameError, match="no model 'resnet19': did you mean resnet18"):
        embedding.backbone("resnet19")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match="do not fit"):
        embedding.backbone(NAME, tmp_path / "w.safetensors")
