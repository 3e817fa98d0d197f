"""What became of a flow run."""

from collections.abc import Sequence

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Cancelled, Completed, Crashed, Failed, Paused, Running, State
from prefect.testing.utilities import prefect_test_harness

from tasks.record import flow_runs

STATES = (Running, Paused, Completed, Failed, Crashed, Cancelled)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@flow
def worked_on() -> None:
    """Its runs are only put into states."""


@flow
def looking(run_ids: Sequence[str]) -> list[str]:
    return [flow_runs.state(run_id) for run_id in run_ids]


def made(state: State) -> str:
    with get_client(sync_client=True) as client:
        return str(client.create_flow_run(worked_on, state=state).id)


@pytest.mark.server
def test_a_run_is_open_completed_broken_off_cancelled_or_not_known() -> None:
    with prefect_test_harness(server_startup_timeout=120):
        found = looking([*(made(state()) for state in STATES), UNKNOWN, "", "no id"])
    ended = ["completed", "broken off", "broken off", "cancelled"]
    assert found == ["open", "open", *ended, *["unknown"] * 3]


def test_where_nothing_is_recorded_no_run_is_known() -> None:
    assert flow_runs.state(UNKNOWN) == "unknown"
