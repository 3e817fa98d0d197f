"""Pages of drift windows in MLflow: removed with the images that they counted in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import tracking


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


def test_without_a_server_nothing_is_looked_for() -> None:
    assert tracking.drop_page("brain", "brain-0001-aa") == 0
