"""The end of a flow run that a person does not want any more, with what it has begun."""

import time
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling

from neuro.errors import ConfigError, ServerError, UnknownNameError
from tasks.record import flow_runs, tracking

_SHOWN = 20  # runs that a message names
PATIENCE_S = 240.0  # for a worker to end the run's process


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A run that was cancelled. mlflow_runs: how many of its runs in MLflow were closed."""

    id: str
    name: str
    state: str
    mlflow_runs: int


def cancel(named: str, patience_s: float = PATIENCE_S) -> Ended:
    """Cancel a run by its id, or by its name among those that have not ended; wait for its end.

    The worker that has begun it ends its process. Raises UnknownNameError, ConfigError for a run
    that has ended or that no worker began, ServerError where its process does not end.
    """
    with get_client(sync_client=True) as client:
        run = _find(client, named)
        state = run.state
        if state is None or state.is_final():
            was = str(state.name).lower() if state else "never begun"
            raise ConfigError(f"run {run.name} has ended: {was}")
        if state.type in flow_runs.NOT_BEGUN:
            client.set_flow_run_state(run.id, Cancelled(message="by `neuro cancel`"), force=True)
        elif run.deployment_id is None:
            raise ConfigError(
                f"run {run.name} was begun by a command, and by no worker: end it there with Ctrl-C"
            )
        else:
            client.set_flow_run_state(run.id, Cancelling(message="by `neuro cancel`"))
        ended = _wait(client, run, patience_s)
    closed = tracking.close_runs_of(str(run.id))
    return Ended(id=str(run.id), name=run.name, state=ended, mlflow_runs=closed)


def _find(client: SyncPrefectClient, named: str) -> FlowRun:
    try:
        return client.read_flow_run(UUID(named))
    except (ValueError, ObjectNotFound):  # a name, or an id of another server
        pass
    runs = flow_runs.in_states(client, flow_runs.NOT_ENDED)
    found = [run for run in runs if run.name == named]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(str(run.id) for run in found[:_SHOWN])
        raise ConfigError(f"{len(found)} runs are named {named!r}; give an id: {ids}")
    begun = [run for run in runs if run.state and run.state.type == StateType.RUNNING]
    shown = ", ".join(f"{run.name} ({run.id})" for run in begun[:_SHOWN]) or "none"
    raise UnknownNameError(f"no run is named {named!r}, or has ended; under way: {shown}")


def _wait(client: SyncPrefectClient, run: FlowRun, patience_s: float) -> str:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        state = client.read_flow_run(run.id).state
        if state is not None and state.is_final():
            return str(state.name)
        time.sleep(1.0)
    raise ServerError(
        f"run {run.name} is to be cancelled, and its process has not ended after {patience_s:g} s; "
        "look whether its worker is alive with `neuro status`: `neuro up` starts it again and ends "
        "what it left"
    )
