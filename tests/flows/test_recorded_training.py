"""What a recorded training keeps in MLflow and shows in Prefect."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows.ingest import ingest
from flows.train import train
from neuro.models import package
from tasks.record import tracking
from tasks.runtime import settings
from tests.flows.conftest import Draw

CLASSES = ("Alzheimer's", "a (b) = 50 %", "$_$ \N{BRAIN}", "grade_low")
PROBLEM = f"""
name = "odd"
dataset = "odd"
classes = {json.dumps(CLASSES, ensure_ascii=False)}
intended_use = "tests"
licence = "none"
citation = "none"
"""


@pytest.fixture
def recorded(home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The result of a training with a profile, while both servers know it."""
    source, problem = draw(list(CLASSES), 12), str(home.parent / "odd.toml")
    Path(problem).write_text(PROBLEM, encoding="utf-8")
    ingest.fn(source=str(source), problem=problem)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    monkeypatch.chdir(home)  # artifacts lie beside the database
    tracking.client.cache_clear()
    with prefect_test_harness(server_startup_timeout=120):  # two cores, often busy
        yield train(problem=problem, preset="fast", changes={"epochs": 2}, profile=True)
    tracking.client.cache_clear()


def kept(run_id: str, below: str | None = None) -> set[str]:
    found: set[str] = set()
    for one in tracking.client().list_artifacts(run_id, below):
        found |= kept(run_id, one.path) if one.is_dir else {one.path}
    return found


@pytest.mark.server
def test_everything_of_a_training_is_in_mlflow_and_prefect_links_its_pictures(
    recorded: dict[str, Any],
) -> None:
    run_id = recorded["run_id"]
    assert kept(run_id) >= {
        "learning.png",
        "confusion_val.png",
        "curves_val.png",
        "checkpoint/training.pt",
        "model/MLmodel",
        "model/served_model.py",
        "model/package/weights.safetensors",
        "profile/table.txt",
        "profile/trace.json.gz",
    }
    data = tracking.client().get_run(run_id).data
    assert {"epochs", "content_hash", "env.torch", "env.processor", "machine"} <= set(data.params)
    card = package.open_verified(Path(recorded["package"])).card
    assert card.lock_hash == data.tags["lock_hash"] == settings.lock_hash() != ""
    assert data.params["preset"] == "fast"
    told = {"val_macro_f1", "val_macro_f1_low", "val_balanced_accuracy", "baseline_lookup_accuracy"}
    told |= {"limit_images_per_s", "share_of_limit", "system/process_cpu_cores"}
    told |= {"val_recall_Alzheimer-x27-s", "val_recall_grade-x5f-low_low"}
    told |= {"val_recall_a -x28-b-x29- -x3d- 50 -x25-", "val_recall_-x24-_-x24- -x1f9e0-"}
    assert told <= set(data.metrics)
    assert len(tracking.client().get_metric_history(run_id, "system/process_cpu_cores")) == 2
    with get_client(sync_client=True) as client:
        shown = {str(artifact.key): str(artifact.data) for artifact in client.read_artifacts()}
    assert "metrics-val" in shown
    for key, file in (
        ("learning", "learning.png"),
        ("confusion-val", "confusion_val.png"),
        ("curves-val", "curves_val.png"),
    ):
        assert f"{run_id}/artifacts/{file}" in shown[key]
    assert not [key for key, data in shown.items() if "data:image" in data]
