"""Wait for a flow run that an automation starts, and follow what it says."""

import time
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler

from deployments import console
from neuro.errors import NeuroError
from neuro.lake import journal
from tasks.load import release_data

START_TIMEOUT_S = 120.0


def wait_for_automatic_run(deployment: str, since: datetime, timeout_s: float) -> FlowRun:
    """Wait until a run of a deployment, created after ``since``, has ended; repeat what it logs.

    Raises NeuroError if none starts within two minutes, or if it fails.
    """
    with get_client(sync_client=True) as client:
        run = _first(client, deployment, since)
        console.say(f"  {run.name} was started by {creator(run)}")
        run = _follow(client, run, timeout_s)
    if run.state is None or not run.state.is_completed():
        raise NeuroError(f"flow run {run.name} ended as {run.state_name}; its page says why")
    return run


def decision_of(flow_run_id: str) -> dict[str, Any]:
    """The promotion decision that a flow run has written into the journal."""
    for entry in journal.entries(release_data.open_lake(None), "decision"):
        if entry.body["flow_run_id"] == flow_run_id:
            return entry.body
    raise NeuroError(f"flow run {flow_run_id} wrote no decision; its page says why")


def finish_sending() -> None:
    """Send the logs and events that still wait; a stopped server would be retried for minutes."""
    APILogHandler().flush()
    EventsWorker.drain_all(timeout=5)


def _first(client: SyncPrefectClient, deployment: str, since: datetime) -> FlowRun:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if fresh := [run for run in created(client, deployment, since) if _is_automatic(run)]:
            return min(fresh, key=lambda run: str(run.created))
        time.sleep(1)
    raise NeuroError(
        f"no run of {deployment} was started within {START_TIMEOUT_S:.0f} s; is its automation "
        "enabled, and is the worker up (`neuro status`)?"
    )


def created(client: SyncPrefectClient, deployment: str, since: datetime) -> list[FlowRun]:
    """The runs of a deployment that were created after ``since``, of the last 50."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    runs = client.read_flow_runs(deployment_filter=named, limit=50)
    return [run for run in runs if run.created is not None and run.created > since]


def _follow(client: SyncPrefectClient, run: FlowRun, timeout_s: float) -> FlowRun:
    end, seen = time.monotonic() + timeout_s, 0
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    while time.monotonic() < end:
        logs = client.read_logs(log_filter=mine, offset=seen, limit=200)
        for line in logs:
            console.say(f"  {line.message}")
        seen += len(logs)
        run = client.read_flow_run(run.id)
        if run.state is not None and run.state.is_final():
            return run
        time.sleep(1)
    raise NeuroError(f"flow run {run.name} did not end within {timeout_s:.0f} s")


def _is_automatic(run: FlowRun) -> bool:
    return run.created_by is not None and (run.created_by.type or "").upper() == "AUTOMATION"


def creator(run: FlowRun) -> str:
    """What started a run, as Prefect has recorded it."""
    if run.created_by is None:
        return "nobody known"
    name = run.created_by.display_value
    return f"{(run.created_by.type or '').lower()} {name}" if name else str(run.created_by.type)
