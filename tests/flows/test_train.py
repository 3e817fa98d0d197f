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
