"""What a run shows, and that there is nothing to show outside one."""

from pathlib import Path

import pytest
from prefect.client import orchestration

from tasks.record import artifacts


def test_outside_a_run_nothing_is_asked_of_any_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # where nobody answers
    monkeypatch.setattr(orchestration, "get_client", None)
    artifacts.table("key", [{"what": "images", "figure": 3}], "title")
    artifacts.markdown("key", "text", "title")
    artifacts.link("key", "file:///page.html", "title")
    artifacts.label_run("tag", name="name")
