"""What became of a flow run, as the Prefect server knows it, and the start of another."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from neuro.promotion.claims import RunState
from tasks.record import artifacts

NOT_BEGUN = (StateType.SCHEDULED, StateType.PENDING, StateType.PAUSED)
NOT_ENDED = (*NOT_BEGUN, StateType.RUNNING, StateType.CANCELLING)
_PAGE = 200


def state(flow_run_id: str) -> RunState:
    """Whether a run is open, is completed, or ended otherwise.

    "unknown" for a run of another server, and for everything where no server records this.
    """
    if artifacts.flow_run_id() is None:
        return "unknown"
    try:
        with get_client(sync_client=True) as client:
            found = client.read_flow_run(UUID(flow_run_id)).state
    except (ObjectNotFound, ValueError):  # ValueError: a claim that no flow run made
        return "unknown"
    if found is None or not found.is_final():
        return "open"
    if found.is_cancelled():
        return "cancelled"
    return "completed" if found.is_completed() else "broken off"


def start(flow: str, parameters: Mapping[str, Any], key: str) -> bool:
    """Start the deployment of a flow and do not wait; False outside of a recorded run.

    key: of two starts with the same one, the second is the first.
    """
    if artifacts.flow_run_id() is None:
        return False
    run_deployment(
        f"{flow}/{flow}",
        parameters=dict(parameters),
        timeout=0,
        as_subflow=False,
        idempotency_key=key,
    )
    return True


def unfinished(flow: str, parameter: str) -> set[str]:
    """What a parameter is of the runs of a flow that have not ended, waiting or running."""
    if artifacts.flow_run_id() is None:
        return set()
    with get_client(sync_client=True) as client:
        runs = in_states(client, NOT_ENDED, flow)
    return {str(run.parameters.get(parameter) or run.id) for run in runs}


def in_states(
    client: SyncPrefectClient, states: Sequence[StateType], flow: str | None = None
) -> list[FlowRun]:
    """Every run that is in one of these states; of all flows, or of one."""
    which = FlowRunFilterStateType(any_=list(states))
    is_wanted = FlowRunFilter(state=FlowRunFilterState(type=which))
    named = FlowFilter(name=FlowFilterName(any_=[flow])) if flow else None
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_filter=named, flow_run_filter=is_wanted, offset=len(found), limit=_PAGE
    ):
        found += page
    return found
