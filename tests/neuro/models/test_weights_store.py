"""Files of weights that are kept by their digest, with a card that says what they are."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from neuro.errors import ConfigError, NeuroError, TrainingError, UnknownNameError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, load_weights, trained_on, weights_packages, weights_store

SMALL = "mobilenetv3_small_050"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "weights"


def made(path: Path, seed: int = 0, architecture: str = SMALL) -> Path:
    """A file of random weights, as timm saves one."""
    torch.manual_seed(seed)
    network = backbone.build(architecture, PreprocessSpec(mode="RGB"), n_classes=2)
    save_file(network.backbone.state_dict(), path)
    return path


def test_a_file_is_kept_by_its_digest_with_what_timm_says_of_its_pictures(
    tmp_path: Path, folder: Path
) -> None:
    file = made(tmp_path / "w.safetensors")
    kept = weights_store.add(folder, file, SMALL, licence="apache-2.0", source="a friend")
    assert kept.path == folder / load_weights.digest(file)
    assert kept.path.read_bytes() == file.read_bytes()
    card = kept.card
    assert (card.licence, card.source, card.size_px) == ("apache-2.0", "a friend", 224)
    assert card.mean == (0.485, 0.456, 0.406)  # of ImageNet
    assert card.deviation == (0.229, 0.224, 0.225)
    assert weights_store.find(folder, SMALL) == kept
    assert sorted(path.name for path in folder.iterdir()) == [
        card.sha256,
        f"{card.sha256}.json",
    ]


@pytest.mark.parametrize(
    ("what", "error", "told"),
    [
        ("other", TrainingError, "do not fit the model"),
        ("text", TrainingError, "neither safetensors nor a file of torch"),
        ("cut", TrainingError, "neither safetensors nor a file of torch"),
        ("code", TrainingError, "hold more than weights"),
        ("large", ConfigError, r"bytes, at most 1,000 are read"),
        ("folder", ConfigError, "is no file"),
        ("nothing", ConfigError, "does not exist"),
    ],
)
def test_what_are_no_weights_of_the_network_is_refused_and_leaves_nothing(
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    error: type[NeuroError],
    told: str,
) -> None:
    file = tmp_path / "w"
    if what == "folder":
        file.mkdir()
    elif what == "text":
        file.write_text("no weights")
    elif what == "code":
        torch.save({"a": Path("a")}, file)
    elif what != "nothing":
        made(file, architecture="cnn" if what == "other" else SMALL)
    if what == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    if what == "large":
        monkeypatch.setattr(load_weights, "LARGEST_BYTES", 1000)
    with pytest.raises(error, match=told):
        weights_store.add(folder, file, SMALL)
    assert not folder.exists()


def test_of_two_files_for_a_network_one_has_to_be_chosen_by_its_digest(
    tmp_path: Path, folder: Path
) -> None:
    first = weights_store.add(folder, made(tmp_path / "a", 0), SMALL)
    second = weights_store.add(folder, made(tmp_path / "b", 1), f"{SMALL}.lamb_in1k")
    with pytest.raises(ConfigError, match=rf"{first.card.sha256[:12]}.*--weights-sha256"):
        weights_store.find(folder, SMALL)
    assert weights_store.find(folder, SMALL, first.card.sha256[:8]) == first
    assert weights_store.find(folder, f"{SMALL}.lamb_in1k") == second
    with pytest.raises(ConfigError, match="give one of these digests"):
        weights_store.choose(folder, SMALL)
    assert weights_store.choose(folder, second.card.sha256[:8]) == second


def test_a_file_that_was_changed_is_named_and_not_used(tmp_path: Path, folder: Path) -> None:
    file = made(tmp_path / "w")
    kept = weights_store.add(folder, file, SMALL)
    assert kept.path is not None
    with kept.path.open("ab") as damaged:
        damaged.write(b"x")
    with pytest.raises(ConfigError, match=rf"{kept.path} cannot be used: damaged"):
        weights_store.find(folder, SMALL)
    (entry,) = [each for each in weights_store.entries(folder) if each.path == kept.path]
    assert "damaged" in entry.fault
    weights_store.add(folder, file, SMALL)  # the remedy that is named
    assert weights_store.find(folder, SMALL) == kept


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("{", "is no JSON"),
        ('{"sha256": 3}', "must be text"),
        (json.dumps({"sha256": "0" * 64, "architecture": SMALL}), "is the card of 0000"),
    ],
)
def test_a_card_that_is_damaged_or_of_another_file_is_passed_over_and_named(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, card: str, told: str
) -> None:
    kept = weights_store.add(folder, made(tmp_path / "w"), SMALL)
    assert kept.path is not None
    kept.path.with_name(f"{kept.path.name}.json").write_text(card)
    assert weights_store.find(folder, SMALL) is None
    assert told in caplog.text
    assert told in weights_store.choose(folder, kept.card.sha256).fault


def test_a_known_file_brings_its_own_card(folder: Path) -> None:
    path = weights_packages.find("tf_efficientnet_lite0")
    assert path is not None
    kept = weights_store.add(folder, path, "tf_efficientnet_lite0", licence="mine")
    assert kept.card.licence == "apache-2.0"
    assert kept.card.source.startswith("https://github.com/ml-illustrated/")
    assert weights_store.described(folder, kept.card.sha256) == kept.card


def test_a_file_that_was_swapped_since_it_was_read_is_not_kept(
    tmp_path: Path, folder: Path
) -> None:
    first = load_weights.digest(made(tmp_path / "w", 0))
    with pytest.raises(ConfigError, match="have SHA-256"):
        weights_store.keep(folder, made(tmp_path / "w", 1), first)
    assert list(folder.iterdir()) == []


def test_where_the_disk_is_full_nothing_is_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(OSError, match="No space left"):
        weights_store.add(folder, made(tmp_path / "w"), SMALL)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../w", "a/b", "resnet18", ".", "0" * 64])
def test_a_name_nobody_has_is_no_path(folder: Path, name: str) -> None:
    with pytest.raises(UnknownNameError, match="see `neuro weights list`"):
        weights_store.choose(folder, name)


@pytest.fixture
def joined(tmp_path: Path, folder: Path) -> weights_store.StoredWeights:
    """Files of two networks in one; only the licence of the first is known."""
    parts = {
        name: weights_store.add(
            folder, made(tmp_path / name, architecture=name), name, licence=licence
        )
        for name, licence in ((SMALL, "apache-2.0"), ("test_resnet", ""))
    }
    return weights_store.join(folder, parts)


def test_each_network_finds_its_own_in_a_joined_file(
    tmp_path: Path, joined: weights_store.StoredWeights
) -> None:
    spec = PreprocessSpec(mode="RGB", intensity="standard")
    name = f"{SMALL}+test_resnet"
    both = backbone.build(name, spec, n_classes=2, weights=joined.path)
    second = load_file(tmp_path / "test_resnet")
    found = both.backbone.members[1].state_dict()
    assert all(torch.equal(found[each], tensor) for each, tensor in second.items())
    with pytest.raises(ConfigError, match=rf"of {SMALL}, test_resnet, none of them resnet18"):
        backbone.build("resnet18", spec, n_classes=2, weights=joined.path)


def test_a_joined_file_says_what_it_is_joined_of(
    folder: Path, joined: weights_store.StoredWeights
) -> None:
    assert joined.card.architecture == f"{SMALL}+test_resnet"
    assert joined.card.licence == "apache-2.0, not stated"
    assert weights_store.described(folder, joined.card.sha256) == joined.card


def test_a_joined_file_says_what_each_part_was_trained_on(tmp_path: Path) -> None:
    seen = trained_on.of_training([["digest of an image"]], salt=bytes(16))
    files = {}
    for name in (SMALL, "test_resnet"):
        tensors = load_file(made(tmp_path / name, architecture=name))
        save_file(tensors | trained_on.as_tensors([seen]), tmp_path / name)
        files[name] = (tmp_path / name, list(tensors))
    load_weights.join(files, tmp_path / "joined")
    assert load_weights.trainings(tmp_path / "joined") == (seen, seen)
