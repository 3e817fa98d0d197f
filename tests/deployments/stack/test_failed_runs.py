"""A run that fails, one that is killed, and one that is killed with its worker are told."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.stack import failed_runs, processes, servers, stack
from deployments.stack.servers import Stack
from deployments.stack.stack import StackConfig
from tests.deployments.stack.test_stack import ask, make_project, prefect, silent, wait_for
from tests.tasks.record.notified import Inbox, inbox, write_list

pytestmark = pytest.mark.server

FLOW = """
import os, signal, time
from prefect import flow

@flow(name="hello")
def hello(problem: str = "brain", how: str = "wait") -> None:
    if how == "fail":
        raise ValueError("patient_0042 is broken")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def webhook() -> Iterator[Inbox]:
    with inbox() as received:
        yield received


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, webhook: Inbox) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"))
    (folder / "hello.py").write_text(FLOW)
    write_list(folder / ".neuro", f"json://me:s3cret@{webhook.address}/s3cret")
    return folder


@pytest.fixture(scope="module")
def standing(project: Path) -> Iterator[Stack]:
    yield stack.up(StackConfig(project=project), silent)
    stack.down(stack.state_file(project), silent)


def titled(webhook: Inbox, title: str) -> list[dict[str, Any]]:
    return [message for message in webhook.messages if message["title"] == title]


@pytest.mark.parametrize(("how", "end"), [("fail", "failed"), ("kill", "crashed")])
def test_a_run_that_did_not_end_well_is_told_once_without_what_its_error_quotes(
    standing: Stack, webhook: Inbox, how: str, end: str
) -> None:
    prefect(standing, "deployment", "run", "hello", "-p", f"how={how}", "-p", "problem=chest")
    (message,) = wait_for(lambda: titled(webhook, f"neuro: hello {end}"))
    assert "problem: chest" in message["message"]
    assert f"run: {standing.prefect_ui_url}/runs/flow-run/" in message["message"]
    assert "patient_0042" not in str(webhook.messages)


def test_prefect_keeps_no_address(standing: Stack) -> None:
    with servers.client(standing) as api:
        path = f"/block_types/slug/{failed_runs.BLOCK_SLUG}/block_documents"
        found = api.get(path, params={"include_secrets": True}).raise_for_status().json()
    assert [each["data"] for each in found] == [{}]
    held = ask(standing, "/automations/filter", {})
    assert [each["name"] for each in held if each["name"] == failed_runs.AUTOMATION]
    assert "s3cret" not in str(held)


def test_a_run_that_died_with_its_worker_is_told_at_the_next_start(
    standing: Stack, project: Path, webhook: Inbox
) -> None:
    """It also shows that a second start makes no second automation, and leaves one off."""
    prefect(standing, "deployment", "run", "hello")
    is_running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    assert wait_for(lambda: ask(standing, "/flow_runs/filter", is_running))
    servers_of_it = {pid for name, pid in standing.pids.items() if name != "worker"}
    (automation,) = ask(standing, "/automations/filter", {})
    with servers.client(standing) as api:
        path = f"/automations/{automation['id']}"
        api.patch(path, json={"enabled": False}).raise_for_status()
    for pid in processes.marked(standing.mark) - servers_of_it:
        os.kill(pid, signal.SIGKILL)
    again = stack.up(StackConfig(project=project), silent)
    assert titled(webhook, "neuro: 1 run was cut off")
    (automation,) = ask(again, "/automations/filter", {})
    assert automation["enabled"] is False
