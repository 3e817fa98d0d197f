"""A worker in another folder, with another home: it trains there what the servers here ask for."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from neuro import delivery, phantom
from tests.e2e.conftest import PROJECT, environment, make_project, neuro, run

pytestmark = pytest.mark.server

CODE = ("neuro", "monitoring", "tasks", "flows", "deployments", "requirements", "pyproject.toml")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack whose lake holds 40 phantoms, and which has no flows any more."""
    project = make_project(tmp_path_factory.mktemp("servers"), only="train-gpu")
    rng = np.random.default_rng(20261120)
    for kind, label in enumerate(("glioma", "meningioma", "notumor", "pituitary")):
        (project / "in" / label).mkdir(parents=True)
        for number in range(10):
            picture = Image.fromarray(phantom.draw(kind, rng))
            picture.save(project / "in" / label / f"{number}.png")
    delivery.write_note(project / "in", source="phantoms", is_synthetic=True)
    assert neuro(project, "up").returncode == 0
    try:
        ingested = neuro(project, "ingest", "in", "--local", "--json")
        assert json.loads(ingested.stdout)["accepted"] == 40, ingested.stderr
        (project / "flows").unlink()
        yield project
    finally:
        neuro(project, "down")


@pytest.fixture(scope="module")
def stack(servers: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((servers / ".neuro" / "stack.json").read_text())
    return found


@pytest.fixture(scope="module")
def left_open(stack: dict[str, Any]) -> str:
    """A run of the deployment that a worker of the same name had under way when it was killed."""
    with httpx.Client(base_url=stack["prefect_api_url"], trust_env=False) as api:
        (deployment,) = api.post("/deployments/filter", json={}).json()
        made = api.post(f"/deployments/{deployment['id']}/create_flow_run", json={}).json()["id"]
        for state in ("PENDING", "RUNNING"):
            api.post(f"/flow_runs/{made}/set_state", json={"state": {"type": state}})
        label = {"prefect.worker.name": "spare"}
        api.patch(f"/flow_runs/{made}/labels", json=label).raise_for_status()
    return str(made)


@pytest.fixture(scope="module")
def elsewhere(
    stack: dict[str, Any], left_open: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Another copy of the code beside a home, with frames of an erased release, and its worker."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in CODE:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, folder / name)
    (folder / "home" / "frames" / "0123456789abcdef-0123456789abcdef").mkdir(parents=True)
    told = {
        "PREFECT_API_URL": stack["prefect_api_url"],
        "MLFLOW_TRACKING_URI": stack["mlflow_tracking_uri"],
        "NEURO_LAKE": stack["lake"],
        "NEURO_HOME": str(folder / "home"),
        "NEURO_REVISION": "of-the-copy",
        "PYTHONPATH": str(folder),
    }
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            # As a shell's `&` would: with interrupts ignored.
            [
                "sh",
                "-c",
                'trap "" INT; exec "$0" -m deployments.cli worker --name spare',
                sys.executable,
            ],
            cwd=folder / "home",
            env=environment() | told,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as program,
    ):
        yield folder
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0, (folder / "log").read_text()


def test_a_worker_elsewhere_trains_in_its_own_folder_and_registers_the_model(
    servers: Path, stack: dict[str, Any], elsewhere: Path
) -> None:
    prefect = str(Path(sys.executable).with_name("prefect"))
    asked = ["deployment", "run", "train-gpu", "-p", 'changes={"epochs": 1}', "--watch"]
    done = run(servers, [prefect, *asked])
    assert done.returncode == 0, done.stdout + done.stderr + (elsewhere / "log").read_text()

    (frames,) = (elsewhere / "home" / "frames").iterdir()
    assert np.load(frames / "pixels.npy", mmap_mode="r").shape[0] == 40
    (card,) = (elsewhere / "home" / "packages").glob("*/model.json")
    assert json.loads(card.read_text())["code_revision"] == "of-the-copy"
    for name in ("frames", "packages"):
        assert not (Path(stack["home"]) / name).exists()

    answer = httpx.get(
        f"{stack['mlflow_tracking_uri']}/api/2.0/mlflow/registered-models/alias",
        params={"name": "neuro-brain", "alias": "challenger"},
        trust_env=False,
    )
    registered = answer.raise_for_status().json()["model_version"]
    tags = {tag["key"]: tag["value"] for tag in registered["tags"]}
    assert tags["package_digest"].startswith(card.parent.name)


def test_a_run_that_its_worker_left_open_is_closed_when_the_worker_is_back(
    stack: dict[str, Any], elsewhere: Path, left_open: str
) -> None:
    """Else the one above would wait for its place for ever."""
    answer = httpx.get(f"{stack['prefect_api_url']}/flow_runs/{left_open}", trust_env=False)
    assert answer.json()["state_type"] == "CRASHED"
