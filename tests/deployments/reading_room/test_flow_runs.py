"""What a page starts and watches in a real Prefect, by a worker."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.stack import servers, stack
from deployments.stack.servers import Stack
from deployments.stack.stack import StackConfig
from tasks.runtime import settings
from tests.deployments.stack.test_stack import make_project, silent

pytestmark = pytest.mark.server

_CALL = """
import json, sys, threading, time
from deployments.reading_room import flow_runs
from neuro.errors import ServerError
name, parameters = sys.argv[1], json.loads(sys.argv[2])
said = {"error": ""}
def start():
    try:
        flow_runs.run(name, parameters)
    except ServerError as error:
        said["error"] = str(error)
thread = threading.Thread(target=start)
thread.start()
seen = []
while thread.is_alive():
    seen += flow_runs.running() or []
    time.sleep(0.2)
print(json.dumps({**said, "seen": len(seen), "now": flow_runs.running()}))
"""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = make_project(tmp_path_factory.mktemp("project"))
    yield stack.up(StackConfig(project=project), silent)
    stack.down(stack.state_file(project), silent)


def started(up: Stack, name: str, **parameters: object) -> dict[str, Any]:
    """As the process of the reading room does it."""
    done = subprocess.run(
        [sys.executable, "-c", _CALL, name, json.dumps(parameters)],
        env=settings.inherited(servers.environment(up)),
        cwd=up.project,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_page_waits_for_what_it_starts_and_sees_it_run(standing: Stack) -> None:
    told = started(standing, "hello", seconds=2)
    assert (told["error"], told["now"]) == ("", [])
    assert told["seen"] > 0


def test_a_flow_that_fails_says_so(standing: Stack) -> None:
    assert "hello failed" in started(standing, "hello", seconds=-1)["error"]


def test_a_flow_that_is_not_deployed_is_said(standing: Stack) -> None:
    assert "did not start" in started(standing, "goodbye")["error"]


def test_without_prefect_nothing_is_known_to_run(tmp_path: Path, monkeypatch: Any) -> None:
    from deployments.reading_room import flow_runs

    monkeypatch.chdir(tmp_path)
    assert flow_runs.running() is None
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert flow_runs.running() is None
