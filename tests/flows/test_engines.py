"""What runs the network of a prediction: measured once for a package and machine, or named."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.predict import predict
from neuro.errors import ConfigError
from neuro.prediction import choose_runtime, runtimes
from neuro.prediction.choose_runtime import Choice
from neuro.problems import problem as problems
from tasks.load import engines, models, release_data

BRAIN = problems.load("brain")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames were tried, each time that the machine was asked; torch wins."""
    asked: list[int] = []

    def choose(package: object, pixels: np.ndarray, **_: object) -> Choice:
        asked.append(len(pixels))
        return Choice(name="torch", why="it is faster", images_per_s={})

    monkeypatch.setattr(choose_runtime, "choose", choose)
    monkeypatch.setattr(runtimes, "at_hand", lambda: ("onnxruntime", "torch"))
    return asked


def test_what_was_measured_once_is_kept_for_this_package(
    model: str, home: Path, chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = models.load(BRAIN, model)
    frames = release_data.load(release_data.open_lake(None), BRAIN).frames
    monkeypatch.setattr(
        runtimes, "opened", lambda name, package, **_: runtimes.on_device(package, "cpu")
    )
    for rows in (np.arange(100), np.arange(3)):
        assert engines.opened(loaded, "auto", frames.pixels, rows).engine.runtime.name == "torch"
    assert chosen == [choose_runtime.FRAMES]
    (kept,) = json.loads((home / "engines.json").read_text()).items()
    assert kept[0].startswith(loaded.package.digest[:16])
    assert kept[1] == "torch"


def test_for_a_few_frames_nothing_is_measured(model: str, home: Path, chosen: list[int]) -> None:
    loaded = models.load(BRAIN, model)
    frames = release_data.load(release_data.open_lake(None), BRAIN).frames
    assert engines.opened(loaded, "auto", frames.pixels, np.arange(9)) is loaded
    assert chosen == []
    assert not (home / "engines.json").exists()


def test_a_named_engine_is_taken_and_told(model: str, home: Path) -> None:
    told = predict.fn(model=model, engine="onnxruntime")
    assert told["engine"] == "onnxruntime f32"
    assert not (home / "engines.json").exists()


def test_an_engine_that_is_none_is_refused_before_anything_is_loaded(home: Path) -> None:
    with pytest.raises(ConfigError, match="one of auto, onnxruntime, openvino, torch, got 'tvm'"):
        predict.fn(model="nowhere", engine="tvm")
