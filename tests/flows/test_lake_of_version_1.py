"""A lake that version 1 made: ingested into, trained from and erased from by today's flows."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.erase import erase
from flows.ingest import ingest
from flows.train import train
from neuro.lake import branches, images, releases
from neuro.lake.lake import Lake
from neuro.training.config import TrainConfig
from tests.fixtures import lakes
from tests.flows.conftest import Draw


@pytest.fixture
def old(tmp_path: Path, home: Path) -> Lake:
    return Lake(lakes.copy_v1(tmp_path))


def test_a_delivery_adds_to_it(old: Lake, draw: Draw) -> None:
    got = ingest.fn(source=str(draw(["glioma", "notumor"], 2)), lake=old.uri)
    release = releases.find(Lake(old.uri), "brain")
    assert (got["accepted"], release.n) == (4, 52)
    assert release.parent == lakes.MAIN[-1]["name"]
    assert images.damaged(old, release, releases.samples(old, release)) == []


def test_a_delivery_to_its_branch_adds_to_that(old: Lake, draw: Draw) -> None:
    ingest.fn(source=str(draw(["glioma"], 2)), lake=old.uri, branch="trial")
    head = branches.find(old, "brain", "trial").head
    assert (head.n, head.parent) == (lakes.TRIAL["n"] + 2, lakes.TRIAL["name"])


def test_its_branch_is_published(old: Lake) -> None:
    arguments = ["branch", "publish", "trial", "--lake", old.uri, "--json"]
    done = CliRunner().invoke(app, arguments)
    assert json.loads(done.stdout)["n"] == 52


@pytest.mark.slow
def test_a_model_is_trained_from_the_release_it_had(old: Lake) -> None:
    before = lakes.MAIN[0]
    got = train.fn(config=TrainConfig(epochs=1, batch_size=8), release=before["name"], lake=old.uri)
    facts = json.loads((Path(got["package"]) / "model.json").read_text())
    assert facts["pin"]["content_hash"] == before["content_hash"]


def test_an_image_is_erased_from_it_and_none_of_its_versions_holds_it(old: Lake) -> None:
    one = releases.samples(old, releases.find(old, "brain", lakes.MAIN[0]["name"]))[0]
    got = erase.fn(sample=one.sample_id, reason="consent withdrawn", lake=old.uri)
    assert (got["is_proven"], got["found"]) == (True, [])
    assert {lakes.MAIN[0]["name"], lakes.TRIAL["name"]} <= set(got["superseded"])
    assert releases.find(Lake(old.uri), "brain").n == 47


def test_the_verb_says_what_it_would_do_and_then_does_it(old: Lake) -> None:
    def migrate(*options: str) -> tuple[int, dict[str, object]]:
        arguments = ["lake", "migrate", *options, "--lake", old.uri, "--json"]
        done = CliRunner().invoke(app, arguments)
        return done.exit_code, json.loads(done.stdout)

    code, would = migrate("--check")
    assert (code, would["version"], would["newest"]) == (3, 1, 3)
    code, done = migrate()
    assert (code, done["version"], done["changes"]) == (0, 3, would["changes"])
    assert migrate("--check") == (0, done | {"changes": []})
