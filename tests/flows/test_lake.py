"""Branches and erasure as flows, without any server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.erase import erase
from flows.ingest import ingest
from flows.train import train
from neuro.errors import UnknownNameError
from neuro.lake import branches, releases
from neuro.lake.lake import Lake
from neuro.training.config import TrainConfig
from tests.flows.conftest import Draw

LABELS = ["glioma", "meningioma", "notumor", "pituitary"]


def test_a_delivery_to_a_branch_leaves_main_as_it_was(home: Path, draw: Draw) -> None:
    first = ingest.fn(source=str(draw(LABELS, 3)))
    lake = Lake(str(home / "lake"))
    branches.create(lake, "brain", "trial")
    got = ingest.fn(source=str(draw(LABELS, 2, name="later", seed=1)), branch="trial")
    assert got["accepted"] == 8
    assert releases.find(lake, "brain").name == first["release"]
    assert releases.find(lake, "brain", got["release"]).n == 20


def test_a_delivery_to_an_unknown_branch_names_the_remedy(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 3)))
    with pytest.raises(UnknownNameError, match="neuro branch create"):
        ingest.fn(source=str(draw(LABELS, 2, name="later", seed=1)), branch="trial")


def test_an_erased_image_enters_again_once_a_person_has_lifted_it(home: Path, draw: Draw) -> None:
    delivery = str(draw(LABELS, 1))
    ingest.fn(source=delivery)
    lake = Lake(str(home / "lake"))
    one = releases.samples(lake, releases.find(lake, "brain"))[0].sample_id
    erase.fn(sample=one, reason="consent withdrawn")
    assert ingest.fn(source=delivery)["reasons"] == {"erased": 1}
    done = CliRunner().invoke(app, ["erase", "--lift", one, "--reason", "by mistake", "--json"])
    assert json.loads(done.stdout) == {"lifted": one}
    assert ingest.fn(source=delivery)["accepted"] == 1


@pytest.mark.slow
def test_an_erasure_names_the_models_that_learned_from_the_image(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 30)))
    lake = Lake(str(home / "lake"))
    package = train.fn(config=TrainConfig(epochs=1))["package"]
    one = releases.samples(lake, releases.find(lake, "brain"))[0]
    got = erase.fn(sample=one.source_name, reason="consent withdrawn")
    assert (got["is_proven"], got["found"], got["sample_ids"]) == (True, [], [one.sample_id])
    assert got["packages"] == [package]
    assert got["removed"]["frames"] == 1
    assert releases.find(lake, "brain").n == 119
