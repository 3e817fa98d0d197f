"""Training through the flow: where it starts from, and what is left of a run that was killed."""

from pathlib import Path

import pytest

from flows.ingest import ingest
from flows.train import train
from neuro import checkpoint
from neuro.errors import ConfigError
from neuro.recipe import TrainConfig
from tests.flows.conftest import Draw

LABELS = ["glioma", "meningioma", "notumor", "pituitary"]


@pytest.fixture
def ready(home: Path, draw: Draw) -> Path:
    ingest.fn(source=str(draw(LABELS, 12)))
    return home


def test_a_training_starts_from_the_weights_of_a_package_and_says_which(ready: Path) -> None:
    first = Path(train.fn(config=TrainConfig(epochs=1))["package"])
    path = first / "weights.safetensors"
    second = train.fn(config=TrainConfig(epochs=1), weights=path)
    assert second["weights"]["skipped"].keys() == {"head.weight", "head.bias"}
    assert second["package"] != str(first)


def test_weights_that_are_not_the_ones_asked_for_train_nothing(ready: Path) -> None:
    first = Path(train.fn(config=TrainConfig(epochs=1))["package"])
    path = first / "weights.safetensors"
    with pytest.raises(ConfigError, match="have SHA-256"):
        train.fn(weights=path, weights_sha256="00000000")
    with pytest.raises(ConfigError, match="goes with --weights"):
        train.fn(weights_sha256="00000000")
    assert [folder.name for folder in first.parent.iterdir()] == [first.name]


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


def test_a_profile_is_written_and_leaves_the_package_as_it_is(ready: Path) -> None:
    config = TrainConfig(epochs=2)
    plain = train.fn(config=config)
    told = train.fn(config=config, profile=True)
    assert told["package"] == plain["package"]
    assert "profile" not in plain
    folder = Path(told["profile"])
    assert folder.parent == ready / "profiles"
    assert sorted(path.name for path in folder.iterdir()) == ["table.txt", "trace.json.gz"]


def test_what_cannot_be_profiled_trains_nothing(ready: Path) -> None:
    with pytest.raises(ConfigError, match="--profile records one process"):
        train.fn(devices=2, device="cpu", profile=True)
    assert not (ready / "packages").exists()


def test_the_share_of_the_limit_is_told(ready: Path) -> None:
    told = train.fn(config=TrainConfig(epochs=2))
    assert told["limit_images_per_s"] > 0
    assert told["share_of_limit"] > 0
