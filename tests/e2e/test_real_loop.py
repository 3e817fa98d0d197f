"""The whole loop, small, on 600 real images."""

import os
from importlib import resources
from pathlib import Path

import pytest

from tests.e2e.conftest import demo, processes_below

REAL_DATA = os.environ.get("NEURO_REAL_DATA")
pytestmark = [pytest.mark.server, pytest.mark.real, pytest.mark.slow]


@pytest.mark.skipif(not REAL_DATA, reason="NEURO_REAL_DATA is not set")
def test_the_loop_turns_on_600_real_images(project: Path) -> None:
    data = str(Path(str(REAL_DATA)) / "brain")
    problem = _without_floors(project / "small.toml")
    arguments = ["--data", data, "--problem", str(problem), "--images", "600", "--home", "real"]
    summary = demo(project, *arguments, "--epochs", "40")
    assert summary["is_synthetic"] is False
    assert summary["drift"]["shifted"] == "retrain"
    assert summary["retrain"]["started_by"].startswith("automation")
    assert processes_below(project / "real") == []
    assert not (project / ".neuro" / "stack.json").exists()


def _without_floors(path: Path) -> Path:
    """The brain problem as a file of its own: 250 images cannot reach its recall floors."""
    text = resources.files("neuro.problems").joinpath("builtin", "brain.toml").read_text("utf-8")
    kept = [line for line in text.splitlines() if not line.startswith("recall_floors")]
    path.write_text("\n".join(kept))
    return path
