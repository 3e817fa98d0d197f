"""A worker in another folder, with another home: it trains there what the servers here ask for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from deployments.stack.servers import Stack
from deployments.stack.servers import client as prefect_client
from neuro.ingest import delivery
from neuro.synthetic import phantom
from tests.e2e.conftest import PROJECT, environment, make_project, neuro, run

pytestmark = pytest.mark.server

PREFECT = str(Path(sys.executable).with_name("prefect"))
EPOCHS = 120
CHANGES = json.dumps({"epochs": EPOCHS, "model": "cnn"})
MACHINE = json.dumps({"precision": "f32"})  # two homes could find another one faster
ASKED = ("deployment", "run", "train-gpu", "-p", f"changes={CHANGES}", "-p", f"machine={MACHINE}")
CODE = ("neuro", "monitoring", "tasks", "flows", "deployments", "requirements")
FILES = ("pyproject.toml", "prefect.yaml")


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
def elsewhere(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another copy of the code beside a home, with frames of an erased release."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in (*CODE, *FILES):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, folder / name)
    (folder / "home" / "frames" / "0123456789abcdef-0123456789abcdef").mkdir(parents=True)
    return folder


@contextmanager
def worker(folder: Path, stack: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of that folder, for the servers of the stack, in a session of its own."""
    told = {
        "PREFECT_API_URL": stack["prefect_api_url"],
        "PREFECT_API_AUTH_STRING": f"neuro:{stack['secret']}",
        "MLFLOW_TRACKING_URI": stack["mlflow_tracking_uri"],
        "NEURO_LAKE": stack["lake"],
        "NEURO_HOME": str(folder / "home"),
        "NEURO_REVISION": "of-the-copy",
        "PYTHONPATH": str(folder),
    }
    with (
        (folder / "log").open("a") as log,
        subprocess.Popen(
            # As a shell's `&` would: with interrupts ignored.
            [
                "sh",
                "-c",
                'trap "" INT; exec "$0" -m deployments.cli.app worker --name spare',
                sys.executable,
            ],
            cwd=folder / "home",
            env=environment() | told,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as program,
    ):
        try:
            yield program
        finally:
            end(folder)


def end(folder: Path) -> None:
    """Kill the worker of a folder and whatever it has started, wherever that belongs."""
    home = f"NEURO_HOME={folder / 'home'}".encode()
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, FileNotFoundError, PermissionError):
            if home in (one / "environ").read_bytes().split(b"\0"):
                os.kill(int(one.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def killed(servers: Path, stack: dict[str, Any], elsewhere: Path) -> float:
    """When a worker was killed, and all that it had started, in the middle of a training."""
    log = elsewhere / "log"
    refused = run(servers, [PREFECT, *ASKED])
    assert refused.returncode == 1
    assert "neuro worker --pool gpu" in refused.stderr
    with worker(elsewhere, stack):
        wait_for(lambda: "applied train-gpu" in log.read_text(), log)
        asked = run(servers, [PREFECT, *ASKED])
        assert asked.returncode == 0, asked.stdout + asked.stderr
        wait_for(lambda: "epoch 5/" in log.read_text(), log)
    assert [*elsewhere.glob("home/frames/*/training.pt")] != []
    assert [run["info"]["status"] for run in mlflow_runs(stack)] == ["RUNNING"]
    return time.time()


@pytest.fixture(scope="module")
def trained(servers: Path, stack: dict[str, Any], elsewhere: Path, killed: float) -> Path:
    """The folder, in which another worker has trained what is asked for again."""
    with worker(elsewhere, stack) as program:
        done = run(servers, [PREFECT, *ASKED, "--watch"])
        assert done.returncode == 0, done.stdout + done.stderr + (elsewhere / "log").read_text()
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0, (elsewhere / "log").read_text()
    return elsewhere


def known(stack: dict[str, Any]) -> tuple[str, str]:
    return ("neuro", stack["secret"])


def mlflow_runs(stack: dict[str, Any]) -> list[dict[str, Any]]:
    url = f"{stack['mlflow_tracking_uri']}/api/2.0/mlflow/runs/search"
    asked = {"experiment_ids": ["1"]}
    answer = httpx.post(url, json=asked, auth=known(stack), trust_env=False)
    runs: list[dict[str, Any]] = answer.raise_for_status().json()["runs"]
    return runs


def wait_for(found: Callable[[], object], log: Path) -> None:
    until = time.monotonic() + 120
    while not found():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


def test_a_worker_elsewhere_trains_in_its_own_folder_and_registers_the_model(
    stack: dict[str, Any], trained: Path
) -> None:
    (frames,) = (trained / "home" / "frames").iterdir()
    assert np.load(frames / "pixels.npy", mmap_mode="r").shape[0] == 40
    (card,) = (trained / "home" / "packages").glob("*/model.json")
    assert json.loads(card.read_text())["code_revision"] == "of-the-copy"
    for name in ("frames", "packages"):
        assert not (Path(stack["home"]) / name).exists()

    answer = httpx.get(
        f"{stack['mlflow_tracking_uri']}/api/2.0/mlflow/registered-models/alias",
        params={"name": "neuro-brain", "alias": "challenger"},
        auth=known(stack),
        trust_env=False,
    )
    registered = answer.raise_for_status().json()["model_version"]
    tags = {tag["key"]: tag["value"] for tag in registered["tags"]}
    assert tags["package_digest"].startswith(card.parent.name)


@pytest.mark.slow
def test_a_training_whose_worker_was_killed_goes_on_in_its_own_run(
    servers: Path, stack: dict[str, Any], trained: Path, killed: float
) -> None:
    api = f"{stack['mlflow_tracking_uri']}/api/2.0/mlflow"
    with httpx.Client(auth=known(stack), trust_env=False) as mlflow:
        (only,) = mlflow_runs(stack)
        asked = {"run_id": only["info"]["run_id"], "metric_key": "loss"}
        told = mlflow.get(f"{api}/metrics/get-history", params=asked).json()["metrics"]
    assert only["info"]["status"] == "FINISHED"
    assert [each["step"] for each in told] == list(range(1, EPOCHS + 1))
    assert told[0]["timestamp"] < 1000 * killed < told[-1]["timestamp"]

    changes = ["--epochs", str(EPOCHS), "--model", "cnn", "--precision", "f32"]
    whole = json.loads(neuro(servers, "train", "--local", "--json", *changes).stdout)
    (package,) = (trained / "home" / "packages").glob("*/weights.safetensors")
    expected = Path(whole["package"], "weights.safetensors").read_bytes()
    assert package.read_bytes() == expected


def test_a_run_whose_worker_was_killed_is_closed_when_the_worker_is_back(
    stack: dict[str, Any], trained: Path
) -> None:
    """Else the next would wait for its place for ever."""
    with prefect_client(Stack(**stack)) as api:
        runs = api.post("/flow_runs/filter", json={"sort": "START_TIME_ASC"}).json()
    assert [run["state_type"] for run in runs] == ["CRASHED", "COMPLETED"]
