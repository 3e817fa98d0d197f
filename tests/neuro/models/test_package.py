import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from neuro.errors import PackageError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, package, package_manifest, typed_json
from neuro.models.package import Card
from neuro.sample import Metric
from neuro.uncertainty import calibration
from tests.neuro.models.test_backbone import NAMED

EMBEDDING = 224


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return backbone.build("resnet_small", PreprocessSpec(), n_classes=3).eval()


@pytest.fixture(scope="module")
def card() -> Card:
    rng = np.random.default_rng(0)
    logits, embeddings = rng.normal(size=(40, 3)), rng.normal(size=(40, EMBEDDING))
    return Card(
        problem="brain",
        dataset="brain",
        architecture="resnet_small",
        classes=("a", "b", "c"),
        preprocess=PreprocessSpec(size_px=32),
        calibration=calibration.fit(logits, embeddings, logits.argmax(axis=1)),
        pin={"release": "r1", "tables": {"images": 3}, "content_hash": "0" * 64},
        code_revision="abc",
        training={"epochs": 2, "seed": 0},
        metrics=(Metric(name="accuracy", value=0.5, low=0.4, high=0.6, n=9, groups=9),),
        synthetic=True,
        intended_use="teaching",
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, card: Card) -> Path:
    return package.save(tmp_path_factory.mktemp("original") / "model", network(), card)


@pytest.fixture
def saved(tmp_path: Path, original: Path) -> Path:
    """A package of the test's own to damage."""
    return shutil.copytree(original, tmp_path / "model")


def test_a_package_holds_exactly_four_files_none_of_them_a_pickle(saved: Path) -> None:
    names = {"weights.safetensors", "model.onnx", "model.json", "MANIFEST.sha256"}
    assert {entry.name for entry in saved.iterdir()} == names
    assert not any(b"\x80\x02c" in entry.read_bytes()[:64] for entry in saved.iterdir())


def test_the_card_comes_back_as_it_was_saved(saved: Path, card: Card) -> None:
    assert package.open_verified(saved).card == card


def test_the_card_says_research_use_only_and_names_its_preprocess(saved: Path, card: Card) -> None:
    facts = json.loads((saved / "model.json").read_text())
    assert facts["notice"].startswith("Research use only")
    assert facts["preprocess_hash"] == card.preprocess.sha256


def test_the_same_network_and_card_give_the_same_digest(tmp_path: Path, card: Card) -> None:
    one = package.save(tmp_path / "one", network(), card)
    two = package.save(tmp_path / "deeper" / "two", network(), card)
    assert package_manifest.digest(one) == package_manifest.digest(two)
    assert (
        package_manifest.digest(one)
        == hashlib.sha256((two / "MANIFEST.sha256").read_bytes()).hexdigest()
    )


def test_no_path_of_this_machine_is_in_the_package(saved: Path) -> None:
    here = str(Path(package.__file__).parents[2]).encode()
    assert not any(here in entry.read_bytes() for entry in saved.iterdir())
    assert not any(b"/model" in entry.read_bytes() for entry in saved.iterdir())


def test_other_weights_give_another_digest(saved: Path, tmp_path: Path, card: Card) -> None:
    other = package.save(tmp_path / "other", network(seed=1), card)
    assert package_manifest.digest(other) != package_manifest.digest(saved)


def test_saving_the_same_package_twice_changes_nothing(saved: Path, card: Card) -> None:
    before = {entry: entry.stat().st_mtime_ns for entry in saved.iterdir()}
    package.save(saved, network(), card)
    assert {entry: entry.stat().st_mtime_ns for entry in saved.iterdir()} == before


def test_another_package_is_never_overwritten(saved: Path, card: Card) -> None:
    before = package_manifest.digest(saved)
    with pytest.raises(PackageError, match="something else"):
        package.save(saved, network(), replace(card, code_revision="def"))
    assert package_manifest.digest(saved) == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["model"]


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path, card: Card) -> None:
    broken = replace(card, training={"loss": float("nan")})
    with pytest.raises(PackageError, match="NaN"):
        package.save(tmp_path / "model", network(), broken)
    assert list(tmp_path.iterdir()) == []


def test_saving_leaves_the_network_as_it_was(tmp_path: Path, card: Card) -> None:
    training = network().train()
    before = {name: value.clone() for name, value in training.state_dict().items()}
    package.save(tmp_path / "model", training, card)
    assert training.training
    assert all(torch.equal(before[name], value) for name, value in training.state_dict().items())


def test_the_graph_answers_like_the_network_for_any_batch(saved: Path) -> None:
    session = onnxruntime.InferenceSession(saved / "model.onnx")
    for n in (1, 5):
        pixels = torch.rand(n, 1, 32, 32)
        with torch.no_grad():
            logits, embedding = network()(pixels)
        found = session.run(["logits", "embedding"], {"pixels": pixels.numpy()})
        np.testing.assert_allclose(found[0], logits.numpy(), atol=1e-4)
        np.testing.assert_allclose(found[1], embedding.numpy(), atol=1e-4)


class Fickle(nn.Module):
    """Its answer depends on the batch size in Python, which an exported graph cannot repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(32 * 32, 3)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = images.flatten(1) * (1.0 if len(images) == 1 else 2.0)
        return self.head(flat), flat


def test_a_network_the_graph_cannot_repeat_is_refused(tmp_path: Path, card: Card) -> None:
    with pytest.raises(PackageError, match="differ from the network"):
        package.save(tmp_path / "model", Fickle(), card)


def test_the_restored_network_answers_like_the_saved_one(saved: Path) -> None:
    pixels = torch.rand(2, 1, 32, 32)
    state = torch.random.get_rng_state()
    restored = package.restore(package.open_verified(saved))
    assert torch.equal(state, torch.random.get_rng_state())
    with torch.no_grad():
        assert torch.equal(restored(pixels)[0], network()(pixels)[0])


def test_weights_of_another_architecture_are_refused(tmp_path: Path, card: Card) -> None:
    folder = package.save(tmp_path / "model", Plain(), card)
    with pytest.raises(PackageError, match="does not fit resnet_small"):
        package.restore(package.open_verified(folder))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(32 * 32, 3)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = images.flatten(1)
        return self.head(flat), flat


def flip_one_bit(folder: Path, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "model.json"])
def test_a_flipped_bit_is_refused_by_file_name(saved: Path, name: str) -> None:
    flip_one_bit(saved, name)
    with pytest.raises(PackageError, match=f"{name} does not match"):
        package.open_verified(saved)


def test_the_file_changed_after_opening_is_refused_when_read(saved: Path) -> None:
    opened = package.open_verified(saved)
    flip_one_bit(saved, "model.onnx")
    with pytest.raises(PackageError, match=r"model\.onnx"):
        opened.read("model.onnx")


def add_a_file(folder: Path) -> None:
    (folder / "hook.pkl").write_bytes(b"x")


def drop_the_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def drop_the_manifest(folder: Path) -> None:
    (folder / "MANIFEST.sha256").unlink()


def list_a_file_elsewhere(folder: Path) -> None:
    (folder / "MANIFEST.sha256").write_text(f"{'0' * 64}  ../model.json\n")


def link_the_weights(folder: Path) -> None:
    (folder / "weights.safetensors").rename(folder.parent / "moved")
    (folder / "weights.safetensors").symlink_to(folder.parent / "moved")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (add_a_file, "hook.pkl is not in"),
        (drop_the_weights, "weights.safetensors is missing"),
        (drop_the_manifest, "no model package"),
        (list_a_file_elsewhere, "must list exactly"),
        (link_the_weights, "no plain file"),
    ],
)
def test_an_incomplete_or_odd_package_is_refused(
    saved: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(saved)
    with pytest.raises(PackageError, match=says):
        package.open_verified(saved)


def test_a_whole_package_swapped_for_another_is_refused_by_its_digest(saved: Path) -> None:
    assert package.open_verified(saved, expected=package_manifest.digest(saved))
    with pytest.raises(PackageError, match="expected 000000000000"):
        package.open_verified(saved, expected="0" * 64)


def reseal(folder: Path, **changes: object) -> None:
    """Change the card and make the manifest match, as a careless tool would."""
    facts = json.loads((folder / "model.json").read_text()) | changes
    (folder / "model.json").write_text(json.dumps(facts))
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("model.json", "model.onnx", "weights.safetensors")
    ]
    (folder / "MANIFEST.sha256").write_text("".join(lines))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format_version": 99}, "has format 99"),
        ({"preprocess_hash": "0" * 64}, "preprocess_hash"),
        ({"calibration": {}}, "calibration lacks the field 'temperature'"),
    ],
)
def test_a_card_of_another_kind_is_refused(
    saved: Path, changes: dict[str, object], says: str
) -> None:
    reseal(saved, **changes)
    with pytest.raises(PackageError, match=says):
        package.open_verified(saved)


def replaced(facts: Any, path: str, value: object) -> Any:
    """A copy of the facts with another value at a path such as calibration.ood_mean.0."""
    facts = json.loads(json.dumps(facts))
    *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    inner = facts
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return facts


OTHER_KINDS = (None, True, "text", [], [[]], {}, {"a": []}, 1.5, -1, 10**400, "x" * 200_000)
TYPED = {
    "classes": (),
    "classes.0": (str,),
    "problem": (str,),
    "architecture": (str,),
    "synthetic": (bool,),
    "trials": (int,),
    "pin": (),
    "pin.release": (str,),
    "training": (dict,),
    "metrics": (),
    "metrics.0": (),
    "metrics.0.value": (),
    "metrics.0.n": (),
    "preprocess": (),
    "preprocess.size_px": (),
    "preprocess.mode": (),
    "calibration": (),
    "calibration.temperature": (float,),
    "calibration.ood_mean": (),
    "calibration.ood_mean.0": (int, float),
    "calibration.ood_axes.0": (),
    "calibration.n": (),
    "format_version": (),
}


@pytest.mark.parametrize("path", TYPED)
def test_every_field_of_a_card_is_of_its_type(path: str, original: Path) -> None:
    facts = json.loads((original / "model.json").read_text())
    for value in OTHER_KINDS:
        is_right = isinstance(value, TYPED[path]) and value not in (-1, 10**400, "x" * 200_000)
        if is_right and isinstance(value, bool) != (bool in TYPED[path]):
            is_right = False
        raw = json.dumps(replaced(facts, path, value)).encode()
        if is_right:
            assert package._parse_card(raw, Path("p/model.json"))
            continue
        if (path, value) in (
            ("calibration.ood_mean.0", -1),
            ("metrics.0.value", -1),
            ("metrics", []),
        ):
            continue
        with pytest.raises(PackageError, match=r"^p/model\.json") as refused:
            package._parse_card(raw, Path("p/model.json"))
        told = str(refused.value)
        assert path.partition(".")[0].partition("_")[0] in told or "digits" in told
        assert len(told) < 700


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("calibration.temperature", 0),
        ("calibration.temperature", 1e9),
        ("calibration.conformal_quantile", 1.1),
        ("calibration.alpha", 0),
        ("calibration.ood_mean", []),
        ("calibration.ood_mean.0", 1e300),
        ("calibration.ood_axes.0", [0.0] * EMBEDDING),
        ("calibration.ood_residual", 0.0),
        ("calibration.ood_threshold", -1.0),
        ("classes", ["a", "a", "b"]),
        ("classes", ["a"]),
        ("classes", ["a", " "]),
        ("trials", -1),
        ("splitting", "mine"),
        ("splitting", "fold-9-of-3"),
        ("weights_sha256", "../x"),
        ("lock_hash", "../x"),
        ("metrics.0.value", 7.0),
        ("metrics.0.low", 0.9),
        ("metrics.0.groups", 10),
        ("preprocess.size_px", -96),
        ("preprocess.size_px", 10**9),
        ("preprocess.mode", "CMYK"),
        ("pin.content_hash", ""),
        ("pin.release", "../../reports/x"),
        ("calibration.pictures.mean", [0.0] * 3),
        ("calibration.pictures.is_coloured", True),
        ("calibration.pictures.threshold", 0.0),
        ("calibration.upright.bias", [0.0] * 3),
        ("calibration.upright.sees", "all"),
        ("calibration.class_offsets", [0.0]),
        ("calibration.class_counts", [1]),
        ("calibration.class_counts", [5, -1, 5]),
        ("calibration.class_offsets", [0.0, 1e9, 0.0]),
    ],
)
def test_every_field_of_a_card_is_within_its_range(
    original: Path, path: str, value: object
) -> None:
    facts = json.loads((original / "model.json").read_text())
    raw = json.dumps(replaced(facts, path, value)).encode()
    name = re.sub(r"\.0.*", "", path).split(".")[-1]
    with pytest.raises(PackageError, match=rf"^p/model\.json: .*{name}"):
        package._parse_card(raw, Path("p/model.json"))


def test_a_package_of_format_5_decides_and_looks_as_it_did(original: Path) -> None:
    facts = json.loads((original / "model.json").read_text()) | {"format_version": 5}
    for name in ("class_offsets", "class_counts"):
        del facts["calibration"][name]
    del facts["calibration"]["upright"]["sees"]
    found = package._parse_card(json.dumps(facts).encode(), Path("p/model.json")).calibration
    assert (found.decides_by_class, found.class_offsets) == (False, ())
    assert found.upright.sees == "embedding"


def test_a_whole_number_of_any_size_is_read_as_a_number_with_a_point(original: Path) -> None:
    facts = json.loads((original / "model.json").read_text())
    raw = json.dumps(replaced(facts, "calibration.ood_mean.0", 10**30)).encode()
    found = package._parse_card(raw, Path("p/model.json")).calibration
    assert np.array(found.ood_mean).dtype == np.float64


@pytest.mark.parametrize("name", ["classes", "calibration", "pin", "synthetic", "problem"])
def test_a_field_that_is_missing_is_named(original: Path, name: str) -> None:
    facts = json.loads((original / "model.json").read_text())
    del facts[name]
    with pytest.raises(PackageError, match=f"lacks the field '{name}'"):
        package._parse_card(json.dumps(facts).encode(), Path("p/model.json"))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no JSON"),
        (b"[]", "one object"),
        (b"null", "one object"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 200_000, "too deeply"),
        (b'{"a":' * 200_000, "too deeply"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b'{"a": 1, "a": 2}', "there twice"),
        (b'{"format_version": 2}', "lacks the field"),
        (b" " * (typed_json.LARGEST_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_card_is_refused_and_the_file_named(raw: bytes, says: str) -> None:
    with pytest.raises(PackageError, match=rf"^p/model\.json.*{says}"):
        package._parse_card(raw, Path("p/model.json"))


def test_deep_values_of_no_type_are_refused(original: Path) -> None:
    facts = json.loads((original / "model.json").read_text())
    deep: object = 1
    for _ in range(50):
        deep = [deep]
    with pytest.raises(PackageError, match=r"training\.extra.* levels deep"):
        package._parse_card(
            json.dumps(replaced(facts, "training.extra", deep)).encode(), Path("p/model.json")
        )


@pytest.mark.parametrize("raw", [b"", b"garbage" * 9, (2**63).to_bytes(8, "little") + b"{}"])
def test_weights_that_are_none_are_refused_when_the_package_is_opened(
    saved: Path, raw: bytes
) -> None:
    (saved / "weights.safetensors").write_bytes(raw)
    reseal(saved)
    with pytest.raises(PackageError, match=r"weights\.safetensors is no safetensors file"):
        package.open_verified(saved)


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    tensors = load_file(saved / "weights.safetensors")
    tensors["head.bias"][0] = float("nan")
    save_file(tensors, saved / "weights.safetensors")
    reseal(saved)
    with pytest.raises(PackageError, match=r"weights\.safetensors: head\.bias holds NaN"):
        package.open_verified(saved)


def test_a_network_nobody_knows_is_refused_by_field(saved: Path) -> None:
    reseal(saved, architecture="resnet_smal")
    with pytest.raises(PackageError, match=r"model\.json: architecture: .*did you mean"):
        package.restore(package.open_verified(saved))


def test_the_weights_file_holds_every_tensor_of_the_network(saved: Path) -> None:
    stored = load_file(saved / "weights.safetensors")
    wanted = network().state_dict()
    assert set(stored) == set(wanted)
    assert all(torch.equal(stored[name], wanted[name]) for name in wanted)


def test_a_card_of_format_1_says_nothing_of_splits_and_was_trained_on_the_lakes_own(
    saved: Path, card: Card
) -> None:
    facts = json.loads((saved / "model.json").read_text())
    old = {k: v for k, v in facts.items() if k not in ("splitting", "leak")}
    found = package._parse_card(json.dumps(old | {"format_version": 1}).encode(), saved)
    assert found == replace(card, format_version=1)
    assert (found.splitting, found.leak) == ("own", "")


def test_a_card_of_format_6_names_no_lock(saved: Path, card: Card) -> None:
    facts = json.loads((saved / "model.json").read_text()) | {"format_version": 6}
    del facts["lock_hash"]
    found = package._parse_card(json.dumps(facts).encode(), saved)
    assert found == replace(card, format_version=6)
    assert found.lock_hash == ""


WITHOUT_TRAINING = """
import sys
from pathlib import Path

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("neuro.training", "tasks", "flows", "mlflow", "prefect", "lance")):
            raise ImportError(f"{name} is needed")

sys.meta_path.insert(0, Forbidden())
import numpy as np
import torch
from neuro.images import preprocess
from neuro.models import package
from neuro.prediction import predict

found = package.open_verified(Path(sys.argv[1]))
pixels = np.load(sys.argv[2])
(answer,) = predict.predict(predict.load(found), pixels, ["s"], model_version="")
spec = found.card.preprocess
logits, _ = package.restore(found)(torch.from_numpy(preprocess.to_tensor(pixels, spec)))
print(answer.predicted, found.card.classes[int(logits.argmax())])
"""


def test_a_package_is_loaded_restored_and_answers_where_nothing_of_training_is(
    tmp_path: Path, card: Card
) -> None:
    """By the architecture's name and arguments, in a process of its own."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        width = network()(torch.zeros(1, 1, 32, 32))[1].shape[1]
    fitted = calibration.fit(
        rng.normal(size=(40, 3)), rng.normal(size=(40, width)), np.arange(40) % 3
    )
    saved = package.save(tmp_path / "model", network(), replace(card, calibration=fitted))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRAINING, str(saved), str(tmp_path / "pixels.npy")],
        cwd=Path(package.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    by_graph, by_network = done.stdout.split()
    assert by_graph == by_network


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_each_named_backbone_is_written_and_answers_from_its_graph(
    tmp_path: Path, card: Card, name: str
) -> None:
    torch.manual_seed(0)
    spec = PreprocessSpec()
    made = backbone.build(name, spec, n_classes=3)
    told = replace(card, architecture=name, preprocess=spec)
    folder = package.save(tmp_path / "p", made, told)
    restored = package.restore(package.open_verified(folder))
    assert restored(torch.zeros(1, 1, 96, 96))[0].shape == (1, 3)


def test_a_pipe_in_place_of_the_manifest_is_refused_and_not_waited_for(saved: Path) -> None:
    (saved / "MANIFEST.sha256").unlink()
    os.mkfifo(saved / "MANIFEST.sha256")
    with pytest.raises(PackageError, match="no plain file"):
        package.open_verified(saved)
