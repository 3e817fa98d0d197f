"""Training through the flow: where it starts from, and what is left of a run that was killed."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.erase import erase
from flows.train import train
from neuro.errors import ConfigError, TrainingError, UnknownNameError
from neuro.lake import releases
from neuro.models import load_weights, package, weights_packages
from neuro.problems import problem as problems
from neuro.training import checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import retrain
from tasks.load import models, release_data, start_weights
from tasks.load.start_weights import StartWeights
from tests.flows.conftest import Deliver

PRETRAINED = StartWeights(pretrained=True)
LITE0 = "tf_efficientnet_lite0"


@pytest.fixture
def ready(delivered: Deliver) -> Path:
    return delivered(12)


def test_a_training_starts_from_the_weights_of_a_package_and_says_which(ready: Path) -> None:
    first = Path(train.fn(config=TrainConfig(epochs=1))["package"])
    path = first / "weights.safetensors"
    second = train.fn(config=TrainConfig(epochs=1), start=StartWeights(file=path))
    assert second["weights"]["skipped"].keys() == {"head.weight", "head.bias"}
    assert second["package"] != str(first)


def test_weights_that_are_not_the_ones_asked_for_train_nothing(ready: Path) -> None:
    first = Path(train.fn(config=TrainConfig(epochs=1))["package"])
    path = first / "weights.safetensors"
    with pytest.raises(ConfigError, match="have SHA-256"):
        train.fn(start=StartWeights(file=path, sha256="00000000"))
    with pytest.raises(ConfigError, match="goes with --weights"):
        train.fn(start=StartWeights(sha256="00000000"))
    with pytest.raises(ConfigError, match="give that or --weights FILE"):
        train.fn(start=StartWeights(file=path, pretrained=True))
    assert [path.name for path in first.parent.iterdir() if path.is_dir()] == [first.name]


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"start": StartWeights(file=Path("none.pth"))}, ConfigError, "none.pth does not exist"),
        (
            {"start": StartWeights(file=Path("none.pth")), "tune": 2},
            ConfigError,
            "none.pth does not exist",
        ),
        (
            {"start": StartWeights(file=Path(__file__))},
            TrainingError,
            "neither safetensors nor a file of torch",
        ),
        ({"changes": {"model": "resnet1 8"}}, UnknownNameError, "did you mean.*resnet18"),
    ],
)
def test_a_start_that_cannot_be_is_refused_before_an_image_is_read(
    home: Path, asked: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):  # there is no release yet, and that is not what is said
        train.fn(**asked)
    assert not home.exists()


def test_a_loss_that_is_not_finite_leaves_no_package(ready: Path) -> None:
    wild = {"learning_rate": 10.0, "optimizer": "sgd", "weight_decay": 10.0, "epochs": 9}
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch"):
        train.fn(changes=wild)
    assert not (ready / "packages").exists()


def test_what_a_champion_started_from_starts_its_successor(ready: Path) -> None:
    first = Path(train.fn(config=TrainConfig(epochs=1))["package"])
    start = first / "weights.safetensors"
    again = train.fn(config=TrainConfig(epochs=1), start=StartWeights(file=start))
    tuned = package.open_verified(Path(again["package"]))
    expected = start.read_bytes()
    shutil.rmtree(first)
    card = tuned.card
    champion = models.load(problems.load("brain"), str(tuned.folder))
    lake, brain = release_data.open_lake(None), problems.load("brain")
    kept = retrain.plan(lake, brain, champion, TrainConfig()).weights
    assert kept is not None
    assert kept.read_bytes() == expected
    assert retrain.plan(lake, brain, champion, TrainConfig(model="cnn")).weights is None
    kept.unlink()
    with pytest.raises(ConfigError, match=rf"{card.weights_sha256}.* put that file there"):
        start_weights.of_champion(card)


def test_a_training_from_an_installed_package_seals_its_licence_and_its_successor_finds_it(
    ready: Path,
) -> None:
    quick = TrainConfig(epochs=1, model=LITE0, grow_from=0.5)
    trained = train.fn(config=quick, start=PRETRAINED)
    card = package.open_verified(Path(trained["package"])).card
    known = weights_packages.KNOWN[0]
    assert card.weights_sha256 == known.sha256
    assert (card.weights_licence, card.weights_source) == (known.licence, known.source)
    assert trained["weights"]["adapted"] == {
        "conv_stem.weight": "made for pixels of 0..1, summed over three colours",
        "bn1.running_mean": "plus the mean of its pictures",
    }
    (ready / "weights" / known.sha256).unlink()
    champion = models.load(problems.load("brain"), trained["package"])
    lake = release_data.open_lake(None)
    kept = retrain.plan(lake, problems.load("brain"), champion, quick).weights
    assert kept == ready / "weights" / known.sha256
    assert load_weights.digest(kept) == known.sha256


def test_a_training_that_is_stopped_continues_and_leaves_nothing_when_it_has_ended(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(epochs=4)
    expected = train.fn(config=config)["package"]
    saves: list[int] = []
    save = checkpoint.Checkpoint.save

    def stopped(self: checkpoint.Checkpoint, state: dict[str, object]) -> None:
        save(self, state)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        train.fn(config=config)
    assert len(list(ready.glob("frames/*/training.pt"))) == 1
    assert train.fn(config=config)["package"] == expected
    assert len(saves) == 4  # two epochs before, two after
    assert list(ready.glob("frames/*/training.pt")) == []


def test_what_a_stopped_training_kept_goes_with_an_erasure(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: checkpoint.Checkpoint, state: dict[str, object]) -> None:
        save(self, state)
        raise KeyboardInterrupt

    save = checkpoint.Checkpoint.save
    monkeypatch.setattr(checkpoint.Checkpoint, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        train.fn(config=TrainConfig(epochs=2))
    assert len(list(ready.glob("frames/*/training.pt"))) == 1
    lake = release_data.open_lake(None)
    first = releases.samples(lake, releases.find(lake, "brain"))[0]
    erase.fn(sample=first.sample_id, reason="asked", who="Dr. A")
    assert list(ready.glob("frames/*/training.pt")) == []


def test_a_preset_is_chosen_for_the_images_changed_by_what_is_given_and_printed(
    ready: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        made = train.fn(preset="fast", changes={"epochs": 2, "model": "cnn"})
    assert re.search(r"preset fast for \d+ images on CPU, .*: cnn, 2 epochs of", caplog.text)
    card = json.loads(Path(made["package"], "model.json").read_text())
    assert made["epochs"] == 2
    assert (card["training"]["model"], card["training"]["augment_from"]) == ("cnn", 0.1)
    assert card["training"]["batch_size"] < 32  # there are few images


@pytest.mark.server
def test_two_devices_train_one_package(ready: Path) -> None:
    changes = {"epochs": 2, "model": "cnn"}
    alone = train.fn(preset="fast", changes=changes)
    both = train.fn(preset="fast", changes=changes, machine=Machine(device="cpu", devices=2))
    assert both["epochs"] == 2
    assert both["package"] != alone["package"]
    assert list(ready.glob("frames/*/training.pt")) == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"changes": {"epochs": "5"}}, "epochs must be a whole number, 1 to 10000, got '5'"),
        ({"changes": {"batch_size": 4096}}, "batch_size 4096 is more than the"),
        ({"changes": {"loss": "binary"}}, "'binary' is for two classes, the problem has 4"),
        ({"changes": {"epoch": 3}}, "did you mean epochs"),
        (
            {"changes": {"model": "cnn"}, "start": PRETRAINED},
            "nobody has published weights of 'cnn'",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(
    ready: Path, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        train.fn(**asked)
    assert not (ready / "packages").exists()


def test_parameters_as_a_deployment_gives_them_are_read_and_checked() -> None:
    given = {"start": {"file": "w.pth"}, "machine": {"device": "cpu"}, "config": {"epochs": 3}}
    read = train.validate_parameters(given)
    assert read["start"] == StartWeights(file=Path("w.pth"))
    assert read["machine"] == Machine(device="cpu")
    assert read["config"] == TrainConfig(epochs=3)
    with pytest.raises(ParameterTypeError, match="device must be one of auto, cpu, cuda"):
        train.validate_parameters({"machine": {"device": "cdua"}})


def test_a_profile_is_written_and_leaves_the_package_as_it_is(ready: Path) -> None:
    config = TrainConfig(epochs=2, model="cnn")
    plain = train.fn(config=config)
    told = train.fn(config=config, profile=True)
    assert told["package"] == plain["package"]
    assert "profile" not in plain
    folder = Path(told["profile"])
    assert folder.parent == ready / "profiles"
    assert sorted(path.name for path in folder.iterdir()) == ["table.txt", "trace.json.gz"]


def test_what_cannot_be_profiled_trains_nothing(ready: Path) -> None:
    with pytest.raises(ConfigError, match="--profile records one process"):
        train.fn(machine=Machine(device="cpu", devices=2), profile=True)
    assert not (ready / "packages").exists()


def test_the_share_of_the_limit_is_told(ready: Path) -> None:
    told = train.fn(config=TrainConfig(epochs=2))
    assert told["limit_images_per_s"] > 0
    assert told["share_of_limit"] > 0
