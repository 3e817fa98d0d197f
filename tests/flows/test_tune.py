"""A search for a recipe through the flow."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flows.ingest import ingest
from flows.train import train
from neuro.errors import ConfigError
from neuro.models import package
from neuro.problems import problem as problems
from neuro.training import checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.tuning import Attempt
from tasks import tune
from tasks.load import release_data
from tasks.train import Setup, checkpoint_of
from tests.flows.conftest import Draw

CONFIG = TrainConfig(model="cnn", epochs=2, batch_size=8)
SHAPES = """
name = "shapes"
dataset = "shapes"
classes = ["round", "square"]
intended_use = "Tests."
licence = "CC0"
citation = "none"
[preprocess]
size_px = 48
"""
EVERY = {"learning_rate", "weight_decay", "label_smoothing", "mixup", "grow_from"}


@pytest.fixture
def ready(home: Path, draw: Draw) -> Path:
    shapes = home.parent / "shapes.toml"
    shapes.write_text(SHAPES)
    ingest.fn(source=str(draw(["round", "square"], 12)), problem=str(shapes))
    return home


def trained(home: Path, **asked: Any) -> dict[str, Any]:
    shapes = str(home.parent / "shapes.toml")
    return train.fn(**{"problem": shapes, "config": CONFIG, "lake": str(home / "lake"), **asked})


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts trained epochs; at the one that stands in ``saves[0]`` the run is stopped."""
    told = [-1]
    save = checkpoint.Checkpoint.save

    def counted(self: checkpoint.Checkpoint, state: dict[str, object]) -> None:
        save(self, state)
        told.append(1)
        if len(told) - 1 == told[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "save", counted)
    return told


def searched(home: Path) -> list[dict[str, Any]]:
    (path,) = home.glob("frames/*/search.json")
    trials: list[dict[str, Any]] = json.loads(path.read_text())["trials"]
    return trials


def test_the_best_recipe_is_trained_to_the_weights_of_a_run_with_that_recipe(
    ready: Path, saves: list[int]
) -> None:
    found = trained(ready, tune=3)
    assert len(saves) - 1 == 3 * CONFIG.epochs  # the best trial is not trained again
    assert list(ready.glob("frames/*/training.pt")) == []
    tuned = found["tuning"]
    assert [trial["state"] for trial in tuned["trials"]] == ["complete"] * 3
    assert tuned["trials"][0]["params"].keys() == EVERY
    assert tuned["best"]["value"] == max(trial["value"] for trial in tuned["trials"])
    best = CONFIG.changed(tuned["best"]["params"])
    again, chosen = (Path(made["package"]) for made in (trained(ready, config=best), found))
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (again, chosen)]
    assert weights[0] == weights[1]
    cards = [package.open_verified(folder).card for folder in (again, chosen)]
    assert [card.note("val") for card in cards] == [
        "",
        "the recipe is the best of 3 on val, which flatters val",
    ]
    assert cards[1].note("test") == ""


def test_a_search_that_is_stopped_continues_within_its_trial_to_the_same_trials(
    ready: Path, saves: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(ready, tune=3)
    there = ready.parent / "again"
    monkeypatch.setenv("NEURO_HOME", str(there))
    saves[:] = [3]
    with pytest.raises(KeyboardInterrupt):
        trained(ready, tune=3)
    assert [trial["number"] for trial in searched(there)] == [1]
    saves[:] = [-1]
    found = trained(ready, tune=3)
    assert len(saves) - 1 == 3
    assert found["tuning"] == expected["tuning"]
    assert Path(found["package"]).name == Path(expected["package"]).name


def test_a_search_that_has_ended_goes_on_where_more_trials_are_asked_for(
    ready: Path, saves: list[int]
) -> None:
    first = trained(ready, tune=2)["tuning"]["trials"]
    saves[:] = [-1]
    more = trained(ready, tune=3)["tuning"]["trials"]
    assert more[:2] == first
    assert len(more) == 3


def test_a_search_with_more_trials_than_are_asked_for_keeps_the_best_of_all(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed = Attempt.complete
    monkeypatch.setattr(  # each trial better than the one before
        Attempt, "complete", lambda self: replace(completed(self), value=float(self.number))
    )
    question = problems.load(str(ready.parent / "shapes.toml"))
    loaded = release_data.load(release_data.open_lake(None), question)
    setup = Setup(machine=Machine(device="cpu"))
    tune.search(loaded, CONFIG, setup, 3)
    fewer = tune.search(loaded, CONFIG, setup, 2)
    assert [trial.number for trial in fewer.trials] == [1, 2, 3]
    assert checkpoint_of(loaded, fewer.config, setup).load() is not None


class Watched:
    """Pixels that know which rows of them were read."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels, self.read = pixels, np.zeros(len(pixels), bool)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.read[rows] = True
        return self.pixels[rows]


def test_a_search_reads_train_and_val_and_nothing_else(ready: Path) -> None:
    question = problems.load(str(ready.parent / "shapes.toml"))
    loaded = release_data.load(release_data.open_lake(None), question)
    watched: Any = Watched(loaded.frames.pixels)
    there = replace(loaded, frames=replace(loaded.frames, pixels=watched))
    tune.search(there, CONFIG, Setup(machine=Machine(device="cpu")), 2)
    assert set(loaded.frames.splits[watched.read]) == {"train", "val"}


@pytest.mark.slow
def test_a_trial_whose_loss_is_not_finite_is_pruned_and_the_search_goes_on(ready: Path) -> None:
    # Decay of 1 at a rate of 1 shrinks the weights, and of nearly 4 turns them over, larger.
    held = {"optimizer": "sgd", "learning_rate": 1.0, "weight_decay": 1.0, "batch_size": 2}
    config = CONFIG.changed({**held, "epochs": 14, "schedule": "cosine"})
    changes = dict.fromkeys(EVERY - {"weight_decay"})
    found = trained(ready, config=config, changes=changes, tune=2)["tuning"]
    assert found["trials"][1]["note"].startswith("the loss is ")
    assert (found["trials"][1]["state"], found["best"]["number"]) == ("pruned", 1)


@pytest.mark.parametrize("asked", [{"tune": 1}, {"tune": 0}, {"tune": 3, "folds": 3}])
def test_a_search_that_cannot_be_is_refused_before_anything(home: Path, asked: Any) -> None:
    with pytest.raises(ConfigError, match="--tune"):
        train.fn(**asked)
    assert not home.exists()


def test_a_recipe_that_is_given_whole_leaves_nothing_to_search(ready: Path) -> None:
    with pytest.raises(ConfigError, match="nothing left to search"):
        trained(ready, changes=dict.fromkeys(EVERY), tune=2)


@pytest.mark.slow
def test_trials_are_trained_by_two_devices_and_a_stopped_one_leaves_no_process(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Attempt.is_worse
    monkeypatch.setattr(Attempt, "is_worse", lambda self: judged(self) or self.number == 2)
    config = CONFIG.changed({"epochs": 3})
    found = trained(ready, tune=3, config=config, machine=Machine(device="cpu", devices=2))
    trials = found["tuning"]["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "pruned", "complete"]
    assert found["epochs"] == 3
    assert multiprocessing.active_children() == []
