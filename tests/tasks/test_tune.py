"""What a search leaves in MLflow and Prefect, with a real server of both."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows.ingest import ingest
from flows.train import train
from neuro.training.config import TrainConfig
from tasks.record import tracking
from tests.flows.conftest import Draw, draw, home
from tests.flows.test_tune import SHAPES

pytestmark = [pytest.mark.server, pytest.mark.slow]
__all__ = ["draw", "home"]


@pytest.fixture
def tracked(home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A lake of shapes, an empty MLflow and a Prefect server; the problem file."""
    monkeypatch.chdir(home.parent)  # MLflow would put artifacts where pytest was called
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home.parent / 'mlflow.db'}")
    tracking.client.cache_clear()
    shapes = home.parent / "shapes.toml"
    shapes.write_text(SHAPES)
    ingest.fn(source=str(draw(["round", "square"], 12)), problem=str(shapes))
    with prefect_test_harness(server_startup_timeout=180):
        yield str(shapes)
    tracking.client.cache_clear()


def children(run_id: str) -> list[Any]:
    (experiment,) = {tracking.client().get_run(run_id).info.experiment_id}
    wanted = f"tags.mlflow.parentRunId = '{run_id}'"
    found = tracking.client().search_runs([experiment], wanted, order_by=["start_time ASC"])
    return list(found)


def test_trials_are_nested_runs_and_more_of_them_join_the_same_search(tracked: str) -> None:
    config = TrainConfig(model="cnn", epochs=2, batch_size=8)
    first = train(problem=tracked, config=config, tune=2)["tuning"]
    found = train(problem=tracked, config=config, tune=3)["tuning"]
    assert found["run_id"] == first["run_id"]
    parent = tracking.client().get_run(found["run_id"])
    assert parent.info.run_name.endswith("(3 trials)")
    assert parent.info.status == "FINISHED"
    runs = children(found["run_id"])
    assert [run.info.run_name for run in runs] == ["trial 1", "trial 2", "trial 3"]
    for run, trial in zip(runs, found["trials"], strict=True):
        assert float(run.data.params["mixup"]) == trial["params"]["mixup"]
        history = tracking.client().get_metric_history(run.info.run_id, "macro_f1")
        assert [point.step for point in history] == [1, 2]
        assert history[-1].value == trial["value"]
    with get_client(sync_client=True) as client:
        shown = [(one.key, str(one.data)) for one in client.read_artifacts()]
    assert sorted(len(json.loads(rows)) for key, rows in shown if key == "tuning") == [2, 3]
    picture = next(url for key, url in shown if key == "tuning-history")
    assert f"{found['run_id']}/artifacts/tuning_history.png" in picture
    kept = {one.path for one in tracking.client().list_artifacts(found["run_id"])}
    assert "tuning_history.png" in kept
