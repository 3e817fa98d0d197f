import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuro.errors import ConfigError, TrainingError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, load_weights, weights_packages
from neuro.training.config import DEFAULT_MODEL

SPECS = {1: PreprocessSpec(), 3: PreprocessSpec(mode="RGB")}


def small(path: Path | None = None, channels: int = 1) -> backbone.Network:
    return backbone.build(DEFAULT_MODEL, SPECS[channels], n_classes=3, weights=path)


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    save_file(state, path)
    return path


def test_a_file_is_told_layer_by_layer(tmp_path: Path) -> None:
    state = small().state_dict()
    start = small(saved(tmp_path / "w.safetensors", state)).start
    assert start is not None
    assert start.loaded == len(state) - 2
    assert list(start.skipped) == ["head.bias", "head.weight"]
    assert start.adapted == {}


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "module._orig_mod.", "_orig_mod.model."]
)
@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"epoch": 3, "state_dict": state},
        lambda state: {0: 1, "model": {"state_dict": state}},
    ],
)
def test_a_file_of_torch_is_read_as_weights(
    tmp_path: Path, prefix: str, wrap: Callable[[dict[str, torch.Tensor]], dict[str, object]]
) -> None:
    first = small()
    state = {f"{prefix}{name}": tensor for name, tensor in first.state_dict().items()}
    torch.save(wrap(state), tmp_path / "w.pth")
    second = small(tmp_path / "w.pth")
    assert torch.equal(
        first.backbone.state_dict()["0.weight"], second.backbone.state_dict()["0.weight"]
    )


def test_a_file_of_torch_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"0.weight": Runs()}, tmp_path / "w.pth")
    with pytest.raises(TrainingError, match="hold more than weights"):
        small(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3)])
def test_a_stem_for_colour_answers_a_grey_picture_alike(
    tmp_path: Path, before: int, after: int
) -> None:
    first = small(channels=before).eval()
    second = small(saved(tmp_path / "w.safetensors", first.state_dict()), channels=after).eval()
    grey = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    one = first.backbone(grey.expand(2, before, 48, 48))
    other = second.backbone(grey.expand(2, after, 48, 48))
    assert torch.allclose(one, other, atol=1e-5)
    assert second.start is not None
    assert list(second.start.adapted) == ["0.weight"]


def test_a_timm_backbone_has_its_stem_adapted_too(tmp_path: Path) -> None:
    first = backbone.build("mobilenetv3_small_050", SPECS[3], n_classes=2)
    path = saved(tmp_path / "w.safetensors", first.state_dict())
    second = backbone.build("mobilenetv3_small_050", SPECS[1], n_classes=2, weights=path)
    assert second.start is not None
    assert list(second.start.adapted) == ["conv_stem.weight"]


def test_an_older_file_that_counted_no_batches_is_taken(tmp_path: Path) -> None:
    state = small().backbone.state_dict()
    older = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    assert len(older) < len(state)
    start = small(saved(tmp_path / "older.safetensors", older)).start
    assert start is not None
    assert start.skipped == {}


def test_a_file_without_one_layer_is_refused(tmp_path: Path) -> None:
    state = small().backbone.state_dict()
    del state["0.weight"]
    with pytest.raises(TrainingError, match=r"1 missing: 0.weight"):
        small(saved(tmp_path / "half.safetensors", state))


def test_a_file_of_another_architecture_names_its_first_layers(tmp_path: Path) -> None:
    other = backbone.build("mobilenetv3_small_050", SPECS[1], n_classes=2)
    path = saved(tmp_path / "other.safetensors", other.state_dict())
    with pytest.raises(TrainingError, match=r"missing: 0.weight.* unknown: .*this very archit"):
        small(path)


def test_a_layer_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = {**small().backbone.state_dict(), "0.weight": torch.zeros(16, 2, 3, 3)}
    with pytest.raises(TrainingError, match=r"0.weight \(16, 2, 3, 3\) instead of \(16, 1, 3, 3\)"):
        small(saved(tmp_path / "w.safetensors", state))


def test_a_file_with_an_unknown_layer_is_refused(tmp_path: Path) -> None:
    state = {**small().state_dict(), "extra": torch.zeros(1)}
    with pytest.raises(TrainingError, match=r"1 unknown: extra"):
        small(saved(tmp_path / "more.safetensors", state))


def test_a_first_layer_of_one_dimension_is_refused(tmp_path: Path) -> None:
    state = {**small().backbone.state_dict(), "0.weight": torch.zeros(16)}
    with pytest.raises(TrainingError, match=r"0.weight \(16,\) instead of \(16, 1, 3, 3\)"):
        small(saved(tmp_path / "w.safetensors", state))


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"not weights", "neither safetensors nor"), (b"PK\x03\x04 cut short", "or are damaged")],
)
def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "w").write_bytes(raw)
    with pytest.raises(TrainingError, match=message):
        small(tmp_path / "w")


def test_a_file_of_torch_without_a_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(OrderedDict(epoch=3), tmp_path / "w.pth")
    with pytest.raises(TrainingError, match="hold no tensor"):
        small(tmp_path / "w.pth")


def test_a_missing_weights_file_is_a_bad_request(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        small(tmp_path / "none.safetensors")


def test_another_file_than_the_one_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"abc")  # SHA-256 in FIPS 180-2, appendix B.1
    load_weights.require(tmp_path / "w", "ba7816bf8f01cfea")
    with pytest.raises(ConfigError, match=r"have SHA-256 ba7816bf.*, expected 00000000"):
        load_weights.require(tmp_path / "w", "00000000")
    with pytest.raises(ConfigError, match="8 to 64 hexadecimal characters, got 'ba78'"):
        load_weights.require(tmp_path / "w", "ba78")


def test_a_known_file_starts_its_network_under_any_name_and_path(tmp_path: Path) -> None:
    path = weights_packages.find("tf_efficientnet_lite0")
    assert path is not None
    moved = Path(shutil.copyfile(path, tmp_path / "mine.pt"))
    for name in ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k"):
        start = backbone.build(name, SPECS[1], n_classes=2, weights=moved).start
        assert start is not None
        assert start.sha256 == load_weights.digest(path)
        assert list(start.adapted) == ["conv_stem.weight", "bn1.running_mean"]
        assert list(start.skipped) == ["classifier.bias", "classifier.weight"]


def test_a_known_file_of_another_network_is_named(tmp_path: Path) -> None:
    path = weights_packages.find("tf_efficientnet_lite1")
    with pytest.raises(ConfigError, match="of tf_efficientnet_lite1, not tf_efficientnet_lite2"):
        backbone.build("tf_efficientnet_lite2", SPECS[3], n_classes=2, weights=path)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_weights, "LARGEST_BYTES", 10)
    (tmp_path / "w").write_bytes(bytes(11))
    with pytest.raises(ConfigError, match="have 11 bytes, at most 10 are read"):
        small(tmp_path / "w")
