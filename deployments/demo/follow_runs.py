"""Wait for a flow run that an automation starts, and follow what it says."""

import time
from collections.abc import Callable
from dataclasses import dataclass
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

from neuro.errors import NeuroError
from neuro.lake import journal
from tasks.load import release_data

START_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A flow run that ended well. started_by: what created it, as Prefect has recorded it."""

    flow_run_id: str
    started_by: str


def wait_for_automatic_run(
    deployment: str, since: datetime, timeout_s: float, report: Callable[[str], None]
) -> Started:
    """Wait until a run of a deployment, created after ``since``, has ended; repeat what it logs.

    Raises NeuroError if none starts within two minutes, or if it fails.
    """
    with get_client(sync_client=True) as client:
        run = _first(client, deployment, since)
        report(f"  {run.name} was started by {_creator(run)}")
        run = _follow(client, run, timeout_s, report)
    if run.state is None or not run.state.is_completed():
        raise NeuroError(f"flow run {run.name} ended as {run.state_name}; its page says why")
    return Started(flow_run_id=str(run.id), started_by=_creator(run))


def decision_of(flow_run_id: str) -> dict[str, Any]:
    """The promotion decision that a flow run has written into the journal."""
    for entry in journal.entries(release_data.open_lake(None), "decision"):
        if entry.body["flow_run_id"] == flow_run_id:
            return entry.body
    raise NeuroError(f"flow run {flow_run_id} wrote no decision; its page says why")


def wait_for_all(deployment: str, since: datetime, n: int, timeout_s: float) -> list[FlowRun]:
    """Wait until ``n`` runs of a deployment, created after ``since``, have ended."""
    end = time.monotonic() + timeout_s
    with get_client(sync_client=True) as client:
        while time.monotonic() < end:
            runs = _created(client, deployment, since)
            if len(runs) >= n and all(run.state and run.state.is_final() for run in runs):
                return runs
            time.sleep(1)
    raise NeuroError(f"{n} runs of {deployment} did not end within {timeout_s:.0f} s")


def finish_sending() -> None:
    """Send the logs and events that still wait; a stopped server would be retried for minutes."""
    APILogHandler().flush()
    EventsWorker.drain_all(timeout=5)


def _first(client: SyncPrefectClient, deployment: str, since: datetime) -> FlowRun:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if fresh := [run for run in _created(client, deployment, since) if _is_automatic(run)]:
            return min(fresh, key=lambda run: str(run.created))
        time.sleep(1)
    raise NeuroError(
        f"no run of {deployment} was started within {START_TIMEOUT_S:.0f} s; is its automation "
        "enabled, and is the worker up (`neuro status`)?"
    )


def _created(client: SyncPrefectClient, deployment: str, since: datetime) -> list[FlowRun]:
    named = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    runs = client.read_flow_runs(deployment_filter=named, limit=50)
    return [run for run in runs if run.created is not None and run.created > since]


def _follow(
    client: SyncPrefectClient, run: FlowRun, timeout_s: float, report: Callable[[str], None]
) -> FlowRun:
    end, seen = time.monotonic() + timeout_s, 0
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    while time.monotonic() < end:
        logs = client.read_logs(log_filter=mine, offset=seen, limit=200)
        for line in logs:
            report(f"  {line.message}")
        seen += len(logs)
        run = client.read_flow_run(run.id)
        if run.state is not None and run.state.is_final():
            return run
        time.sleep(1)
    raise NeuroError(f"flow run {run.name} did not end within {timeout_s:.0f} s")


def _is_automatic(run: FlowRun) -> bool:
    return run.created_by is not None and (run.created_by.type or "").upper() == "AUTOMATION"


def _creator(run: FlowRun) -> str:
    if run.created_by is None:
        return "nobody known"
    name = run.created_by.display_value
    return f"{(run.created_by.type or '').lower()} {name}" if name else str(run.created_by.type)
