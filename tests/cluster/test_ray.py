"""Shards on real Ray clusters, recorded by a real Prefect server."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import State

from flows.ingest import ingest
from neuro.errors import ServerError
from neuro.ingest import delivery
from neuro.lake import features, images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.prediction import predict as predictor
from neuro.problems import problem as problems
from neuro.synthetic import phantom
from tasks import predict, predict_files
from tasks.load import models, release_data
from tasks.runtime import runners, shards
from tests.cluster import encoders
from tests.cluster.encoders import Traced
from tests.neuro.prediction.sealed import untrained

is_missing = find_spec("prefect_ray") is None
pytestmark = [
    *(pytest.mark.ray, pytest.mark.server, pytest.mark.slow),
    pytest.mark.skipif(is_missing, reason="Ray is not installed; `make test-ray` does it"),
]

SHARD, N = 8, 48
BRAIN = problems.load("brain")


@pytest.fixture(scope="module", autouse=True)
def home(token: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake of phantoms, to be cut into six shards."""
    folder = tmp_path_factory.mktemp("home")
    os.environ |= {"NEURO_HOME": str(folder), "NEURO_SHARD": str(SHARD)}
    rng = np.random.default_rng(0)
    for kind, label in enumerate(("glioma", "notumor")):
        (folder / "delivery" / label).mkdir(parents=True)
        for number in range(N // 2):
            picture = Image.fromarray(phantom.draw(kind, rng))
            picture.save(folder / "delivery" / label / f"{number}.png")
    delivery.write_note(folder / "delivery", source="phantoms", is_synthetic=True)
    assert ingest.fn(source=str(folder / "delivery"))["accepted"] == N
    from ray import cloudpickle  # reads the token's variables, once

    # A worker of the cluster has the packages of neuro, and nothing of its tests.
    cloudpickle.register_pickle_by_value(encoders)
    yield folder
    for name in ("NEURO_HOME", "NEURO_SHARD", "NEURO_RUNNER"):
        os.environ.pop(name, None)


@flow(name="fill", task_runner=runners.ConfiguredRunner())
def fill(encoder: Traced) -> dict[str, features.Vector]:
    loaded = release_data.load(release_data.open_lake(None), BRAIN)
    vectors = shards.encode(loaded.lake, loaded.release, encoder, loaded.frames.sample_ids.tolist())
    made_by = {"encoder_hash": encoder.digest, "preprocess_hash": "", "code_revision": ""}
    features.add(loaded.lake, encoder.name, vectors, made_by)
    return vectors


def traced(home: Path, runner: str, digest: str) -> Traced:
    os.environ["NEURO_RUNNER"] = runner
    (home / digest).mkdir()
    return Traced(trace=home / digest, digest=digest * 64)


def frames(home: Path) -> bytes:
    (path,) = home.glob("frames/*/pixels.npy")
    return path.read_bytes()


@flow(name="ask", task_runner=runners.ConfiguredRunner())
def ask(model: str, source: str, out: str) -> dict[str, Any]:
    """Of the release, or of files."""
    opened = models.load(BRAIN, model)
    if source:
        return predict_files.predict(opened, predict_files.request(source, out, "auto"), BRAIN)
    asked = predict.request("", None, out, "auto")
    return predict.predict(release_data.load(lake()[0], BRAIN), opened, asked)


@pytest.fixture(scope="module")
def expected(home: Path, server: None) -> tuple[dict[str, features.Vector], bytes]:
    """Vectors and frames as threads make them."""
    return fill(traced(home, "threads", "a")), frames(home)


def lake() -> tuple[Lake, Release]:
    there = release_data.open_lake(None)
    return there, releases.find(there, "brain")


def version(name: str) -> int:
    return int(lake()[0].open(f"features_{name}").version)


def kill_who_waits(trace: Path, is_over: threading.Event) -> None:
    while not is_over.wait(0.1):
        told = (trace / "waiting").read_text() if (trace / "waiting").exists() else ""
        if told:
            os.kill(int(told), signal.SIGKILL)
            return


def states(state: State[Any], wanted: list[str], kind: str = "encode shard") -> list[str]:
    """Of a run's tasks of one kind, as the server has them; told a while after the run's end."""
    which = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    end, found = time.monotonic() + 30, [""]
    with get_client(sync_client=True) as client:
        while found != wanted and time.monotonic() < end:
            runs = client.read_task_runs(flow_run_filter=which)
            found = [str(run.state_name) for run in runs if run.name.startswith(kind)]
            time.sleep(0.2)
    return found


def test_a_killed_worker_costs_its_shard_and_nothing_else(
    home: Path, cluster: str, expected: tuple[dict[str, features.Vector], bytes]
) -> None:
    there, release = lake()
    order = images.in_order(there, release, list(expected[0]))
    stuck = images.facts(there, release)[order[2 * SHARD]]["stored_sha256"]
    encoder = replace(traced(home, cluster, "b"), stuck=stuck)
    is_over = threading.Event()
    watcher = threading.Thread(target=kill_who_waits, args=(encoder.trace, is_over))
    watcher.start()
    try:
        state = fill(encoder, return_state=True)
    finally:
        is_over.set()
        watcher.join()
    vectors = state.result()
    calls = [path.name.split(".") for path in encoder.trace.glob("*.*.*")]
    times = Counter(first for first, _, _ in calls)
    assert times.pop(stuck) == 2
    assert len({process for first, process, _ in calls if first == stuck}) == 2
    assert list(times.values()) == [1] * (N // SHARD - 1)
    assert {key: vector.tobytes() for key, vector in vectors.items()} == {
        key: vector.tobytes() for key, vector in expected[0].items()
    }
    completed = ["Completed"] * (N // SHARD)
    assert states(state, completed) == completed


def test_ray_started_for_one_run_gives_the_bits_of_threads_and_makes_one_commit(
    home: Path, expected: tuple[dict[str, features.Vector], bytes]
) -> None:
    (built,) = home.glob("frames/*/frames.json")
    built.unlink()  # so that the frames are decoded again
    before, encoder = version("traced"), traced(home, "ray", "c")
    fill(encoder)
    assert version("traced") == before + 1
    assert frames(home) == expected[1]
    ids = list(expected[0])
    there, _ = lake()
    stored = features.read(there, "traced", encoder.digest, ids)
    assert np.array_equal(stored, np.array([expected[0][key] for key in ids]))
    assert str(os.getpid()) not in {path.name.split(".")[1] for path in encoder.trace.iterdir()}


@pytest.mark.parametrize("source", ["", "delivery"])
def test_a_release_and_files_are_answered_on_ray_as_in_this_process(
    home: Path, server: None, tmp_path: Path, source: str
) -> None:
    os.environ["NEURO_RUNNER"] = "ray"
    model = untrained(tmp_path / "model", "brain", BRAIN.classes, BRAIN.preprocess)
    where = str(home / source) if source else ""
    state = ask(str(model), where, str(tmp_path / "a.parquet"), return_state=True)
    assert state.result()["n"] == N
    rows = {row["sha256"]: row for row in pq.read_table(tmp_path / "a.parquet").to_pylist()}
    pixels = release_data.load(lake()[0], BRAIN).frames
    engine = models.of_folder(model).engine
    for each in predictor.predict(engine, pixels.pixels, pixels.sample_ids, model_version=""):
        row = rows.pop(each.sample_id)
        assert (row["predicted"], row["decision"]) == (each.predicted, each.decision)
        assert row["p_glioma"] == pytest.approx(each.probabilities[0], abs=1e-6)
    assert not rows
    completed = ["Completed"] * (N // SHARD)
    assert states(state, completed, "predict shard") == completed


def test_a_cluster_that_is_not_there_is_named(home: Path, server: None) -> None:
    with pytest.raises(ServerError, match=r"no cluster is reached at NEURO_RUNNER=ray://127.0.0.1"):
        fill(traced(home, "ray://127.0.0.1:1", "d"))
