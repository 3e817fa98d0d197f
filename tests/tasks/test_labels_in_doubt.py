"""What MLflow keeps of the labels in doubt: counts and figures, and no sample."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import labels_in_doubt
from tasks.labels_in_doubt import Doubts
from tasks.record import tracking
from tests.neuro.reports.test_labels_in_doubt_page import FIGURES
from tests.neuro.reports.test_passport_page import DOUBTED


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tracking.Run]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    tracking.client.cache_clear()
    where = tracking.client().create_experiment("brain", str(tmp_path / "artifacts"))
    yield tracking.Run(run_id=tracking.client().create_run(where).info.run_id)
    tracking.client.cache_clear()


def test_mlflow_has_figures_with_and_without_them_their_number_and_no_sample(
    run: tracking.Run, tmp_path: Path
) -> None:
    doubts = Doubts(
        found=DOUBTED, figures=FIGURES, page=tmp_path / "page.html", suspects=frozenset()
    )
    labels_in_doubt.show(run, doubts, "3 folds")
    figures = tracking.client().get_run(run.run_id).data.metrics
    assert (figures["labels_in_doubt"], figures["folds_without_doubts_accuracy"]) == (2, 0.95)
    folder = tmp_path / "artifacts"
    by_class = json.loads(next(folder.rglob("labels_in_doubt_by_class.json")).read_text())
    assert by_class["data"] == [["glioma", "pituitary", 2]]
    table = json.loads(next(folder.rglob("labels_in_doubt_figures.json")).read_text())
    assert table["data"][0] == ["accuracy", "0.900 [0.850, 0.950]", "0.950 [0.850, 0.950]"]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [label for label in DOUBTED.labels if label.sample_id[:12].encode() in kept]
