"""An erasure of an image that datasets of one's own hold, each under a digest of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.erase import erase
from flows.ingest import ingest
from neuro.errors import ConfigError
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.problems import problem as problems
from tasks.load import release_data
from tasks.record import mlflow_model, registry, tracking
from tasks.record.tracking import Run
from tests.flows.conftest import LABELS, Draw

BRAIN = Path("neuro/problems/builtin/brain.toml")


def problem_file(folder: Path, name: str) -> str:
    path = folder / f"{name}.toml"
    text = BRAIN.read_text("utf-8")
    for key in ("name", "dataset"):
        text = text.replace(f'{key} = "brain"', f'{key} = "{name}"')
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("which", ["ours", "theirs"])
def test_a_picture_that_two_datasets_of_ones_own_hold_is_erased_from_either(
    home: Path, draw: Draw, tmp_path: Path, which: str
) -> None:
    files = {name: problem_file(tmp_path, name) for name in ("ours", "theirs")}
    ours = draw(LABELS, 2, name="first")
    theirs = draw(LABELS, 2, name="second", seed=1)
    picture = next(ours.rglob("*.png"))
    (theirs / "glioma" / "again.png").write_bytes(picture.read_bytes() + b"\0")
    for folder, name in ((ours, "ours"), (theirs, "theirs")):
        ingest.fn(source=str(folder), problem=files[name])
    lake = Lake(str(home / "lake"))
    before = {name: releases.find(lake, name).n for name in files}
    sample = picture.relative_to(ours) if which == "ours" else Path("glioma/again.png")
    (other,) = files.keys() - {which}
    words = ["erase", "--problem", files[which], "--sample", str(sample), "--reason", "asked"]

    would = CliRunner().invoke(app, [*words, "--json"])
    shown = json.loads(would.stdout)
    assert (would.exit_code, len(shown["samples"]), len(shown["copies"])) == (3, 2, 1)
    refused = CliRunner().invoke(app, [*words, "--yes", "--local"])
    assert isinstance(refused.exception, ConfigError)
    assert "--also FILE" in str(refused.exception)
    done = CliRunner().invoke(app, [*words, "--yes", "--local", "--json", "--also", files[other]])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["is_proven"], told["copies"]) == (0, True, shown["copies"])
    assert {name: releases.find(lake, name).n for name in files} == {
        name: n - 1 for name, n in before.items()
    }


@pytest.fixture
def served(home: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The run whose model MLflow serves, in a store below the home as that of a stack."""
    (home / "mlflow").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    tracking.client.cache_clear()
    client = tracking.client()
    experiment = client.create_experiment("brain", str(home / "mlflow" / "artifacts"))
    run = Run(run_id=client.create_run(experiment).info.run_id)
    found = package.open_verified(Path(model))
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    tracking.log_data(run, loaded.release)
    mlflow_model.log(run, found)
    registry.register(run.run_id, "brain", found)
    yield run
    tracking.client.cache_clear()


def test_an_erasure_names_the_run_of_the_model_that_mlflow_serves_and_finds_no_image_in_it(
    home: Path, served: Run, model: str
) -> None:
    (folder,) = (home / "mlflow" / "artifacts").glob("*/artifacts/model")
    lake = Lake(str(home / "lake"))
    sample = releases.samples(lake, releases.find(lake, "brain"))[0].sample_id

    told = erase.fn(sample=sample, reason="asked")
    assert [run["run_id"] for run in told["mlflow_runs"]] == [served.run_id]
    assert (told["packages"], told["found"], told["is_proven"]) == ([model], [], True)
    # What learned from the image is the package; the rest is the same for every training.
    own = {path.name for path in folder.iterdir() if path.is_file()}
    assert own == {
        "MLmodel",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "served_model.py",
        "serving_input_example.json",
    }
    described = yaml.safe_load((folder / "MLmodel").read_text("utf-8"))
    assert (described["run_id"], described.get("metadata")) == (served.run_id, None)


def test_the_search_of_an_erasure_reads_the_files_that_mlflow_serves(
    home: Path, served: Run
) -> None:
    (folder,) = (home / "mlflow" / "artifacts").glob("*/artifacts/model")
    lake = Lake(str(home / "lake"))
    sample = releases.samples(lake, releases.find(lake, "brain"))[0].sample_id
    (folder / "input_example.json").write_text(sample)  # as if it were of a real image

    told = erase.fn(sample=sample, reason="asked")
    assert told["found"] == [str(folder / "input_example.json")]
    assert told["is_proven"] is False
