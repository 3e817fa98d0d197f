"""What became of a flow run, as the Prefect server knows it."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from neuro.promotion.claims import RunState
from tasks.record import artifacts


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
    return "completed" if found.is_completed() else "broken off"
