"""The ``neuro`` command in a project folder of its own, as a user would call it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own for what a project keeps, so that nothing is left in this checkout."""
    return make_project(tmp_path_factory.mktemp("project"))


def make_project(folder: Path, only: str = "") -> Path:
    """Make a folder one in which the stack can be started.

    only: the one deployment of it; to apply them all takes as long as their flows take to import.
    """
    for name in ("prefect.yaml", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    for name in ("neuro", "monitoring", "tasks", "flows", "deployments", "requirements"):
        (folder / name).symlink_to(PROJECT / name)
    if only:
        described = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
        kept = [each for each in described["deployments"] if each["name"] == only]
        (folder / "prefect.yaml").write_text(yaml.safe_dump({**described, "deployments": kept}))
    return folder


def demo(project: Path, *arguments: str) -> dict[str, Any]:
    done = neuro(project, "demo", "--json", "--shift", "2", *arguments)
    assert done.returncode == 0, done.stderr[-4000:]
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def neuro(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(project, [sys.executable, "-m", "deployments.cli.app", *arguments])


def python(project: Path, script: str) -> str:
    done = run(project, [sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def run(project: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def started(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """The ``neuro`` command, still running; its progress is on ``stderr``."""
    command = [sys.executable, "-m", "deployments.cli.app", *arguments]
    return subprocess.Popen(
        command, cwd=project, env=environment(), stderr=subprocess.PIPE, text=True
    )


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NEURO_", "PREFECT_"))}
    # Two loops train side by side; threads of two pools that wait for one another take ten times
    # as long.
    return kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "400"}


def claimed(project: Path) -> str:
    claims = json.loads(neuro(project, "journal", "list", "claim", "--json").stdout)
    return str(claims[0]["cause"])


def processes_below(folder: Path) -> list[str]:
    """Command lines of processes that name the folder or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = str((process / "cwd").readlink())
        except OSError:  # it has ended meanwhile
            continue
        if str(folder) in command or place.startswith(str(folder)):
            found.append(command)
    return found
