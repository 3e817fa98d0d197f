"""What MLflow keeps of a training; and pages of drift windows, removed with their images."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neuro.sample import Metric
from tasks.record import artifacts, tracking
from tests.neuro.test_escaped_names import ODD
from tests.neuro.training.test_profiling import EPOCH


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Two runs of a problem's drift checks with their pages; run ids by window."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    tracking.client.cache_clear()
    where = tracking.client().create_experiment("brain-drift", str(tmp_path / "artifacts"))
    runs = {}
    for window in ("brain-0001-aa", "7-days-to-2026-11-20"):
        runs[window] = tracking.client().create_run(where, run_name=window).info.run_id
        page = tmp_path / tracking.drift_page("brain", window)
        page.write_text("figures")
        tracking.log_files(tracking.Run(run_id=runs[window]), page, "")
    yield runs
    tracking.client.cache_clear()


def test_the_page_of_a_window_is_removed_and_no_other(logged: dict[str, str]) -> None:
    assert tracking.drop_page("brain", "brain-0001-aa") == 1
    left = {w: len(tracking.client().list_artifacts(run)) for w, run in logged.items()}
    assert left == {"brain-0001-aa": 0, "7-days-to-2026-11-20": 1}
    assert tracking.drop_page("brain", "brain-0001-aa") == 0


def test_a_release_was_read_by_runs_that_somebody_has_deleted_since_too(
    logged: dict[str, str],
) -> None:
    client = tracking.client()
    there, deleted = logged.values()
    for run_id in logged.values():
        client.log_param(run_id, "content_hash", "a" * 64)
    client.delete_run(deleted)
    gone = client.create_experiment("gone")
    within = client.create_run(gone).info.run_id
    client.log_param(within, "content_hash", "a" * 64)
    client.log_param(client.create_run(gone).info.run_id, "content_hash", "b" * 64)
    client.delete_experiment(gone)
    found = tracking.runs_on(["a" * 64])
    assert {run["run_id"] for run in found} == {there, deleted, within}


def test_without_a_server_nothing_is_looked_for() -> None:
    assert tracking.drop_page("brain", "brain-0001-aa") == 0


def test_an_epoch_is_kept_with_the_system_it_ran_on(logged: dict[str, str]) -> None:
    run_id = logged["brain-0001-aa"]
    tracking.log_epoch(tracking.Run(run_id=run_id), EPOCH, {"system/process_cpu_cores": 1.5})
    found = tracking.client().get_run(run_id).data.metrics
    assert (found["loss"], found["system/process_cpu_cores"]) == (EPOCH.loss, 1.5)
    history = tracking.client().get_metric_history(run_id, "system/process_cpu_cores")
    assert [point.step for point in history] == [EPOCH.number]


@pytest.mark.parametrize(("room", "kept"), [(10, ["checkpoint/training.pt"]), (9, [])])
def test_a_last_state_that_is_not_too_large_is_kept(
    logged: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    kept: list[str],
) -> None:
    monkeypatch.setattr(tracking, "_CHECKPOINT_BYTES", room)
    (tmp_path / "training.pt").write_bytes(b"0123456789")
    run_id = logged["brain-0001-aa"]
    tracking.log_checkpoint(tracking.Run(run_id=run_id), tmp_path / "training.pt")
    found = tracking.client().list_artifacts(run_id, "checkpoint")
    assert [artifact.path for artifact in found] == kept


@pytest.mark.parametrize("name", ["a new one", "brain-drift"])
def test_an_experiment_opens_as_model_training(
    logged: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also one that an earlier version made; MLflow shows any other as the traces of a chat."""
    monkeypatch.setattr(artifacts, "flow_run_id", lambda: "0123")
    with tracking.run(name, "a run", {}):
        pass
    tags = tracking.client().get_experiment_by_name(name).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def told(name: str, value: float) -> Metric:
    return Metric(name=f"recall_{name}", value=value, low=0.0, high=1.0, n=2, groups=2)


def test_every_name_of_a_class_is_a_key_of_its_own(logged: dict[str, str]) -> None:
    run = tracking.Run(run_id=logged["brain-0001-aa"])
    figures = [told(name, number / 1000) for number, name in enumerate(ODD, start=1)]
    tracking.log_metrics(run, "val", figures)
    found = tracking.client().get_run(run.run_id).data.metrics
    assert len(found) == 3 * len(ODD)
    assert found["val_recall_Alzheimer-x27-s"] == 0.001
    # The lower end of "grade" is not the recall of "grade_low".
    assert found["val_recall_grade_low"] == 0.0
    assert found["val_recall_grade-x5f-low"] == (ODD.index("grade_low") + 1) / 1000


def test_as_many_classes_as_there_are_get_their_figures(logged: dict[str, str]) -> None:
    run = tracking.Run(run_id=logged["brain-0001-aa"])
    tracking.log_metrics(run, "val", [told(f"class {n}", 0.5) for n in range(700)])
    assert len(tracking.client().get_run(run.run_id).data.metrics) == 2100


def test_a_class_that_is_not_there_is_a_tag_beside_the_figures(logged: dict[str, str]) -> None:
    run = tracking.Run(run_id=logged["brain-0001-aa"])
    over = "1 of 2 classes, none of Alzheimer's"
    tracking.log_metrics(run, "val", [replace(told("healthy", 1.0), classes=over)])
    assert tracking.client().get_run(run.run_id).data.tags["val_classes"] == over
    tracking.log_metrics(run, "test", [told("healthy", 1.0)])
    assert "test_classes" not in tracking.client().get_run(run.run_id).data.tags
