"""Flow runs whose process is gone: they count as running, and their heart beats no more.

Prefect lets a run send an event every so often (``settings.HEARTBEAT_S``); it ends none that stops.
"""

import time
from datetime import UTC, datetime, timedelta
from logging import getLogger
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventOrder,
    EventResourceFilter,
)
from prefect.states import Crashed

from tasks.record import artifacts, flow_runs
from tasks.runtime import settings

SILENCE = timedelta(seconds=5 * settings.HEARTBEAT_S)  # after which a run is suspected
_AWAKE_S = 2.5 * settings.HEARTBEAT_S  # that we look on, awake: a laptop may have slept till now
_BEAT = "prefect.flow-run.heartbeat"
_log = getLogger(__name__)


def end_dead() -> list[str]:
    """End the runs whose process is gone, as crashed; their ids.

    One that never sent a heartbeat, such as of a program that is not told to, is left alone.
    """
    if artifacts.flow_run_id() is None:
        return []
    with get_client(sync_client=True) as client:
        before = _silent(client)
        if not before:
            return []
        _log.info("%d runs are silent; looking on for %.0f s", len(before), _AWAKE_S)
        time.sleep(_AWAKE_S)
        now = _silent(client)
        dead = [run for run, beat in before.items() if now.get(run) == beat]
        for run in dead:
            why = f"its process is gone: the last heartbeat was at {before[run]:%Y-%m-%d %H:%M:%S}"
            client.set_flow_run_state(run, Crashed(message=why), force=True)
            _log.warning("run %s is ended: %s", run, why)
    return [str(run) for run in dead]


def _silent(client: SyncPrefectClient) -> dict[UUID, datetime]:
    """The last heartbeat of each run that is under way and has been silent for long."""
    runs = flow_runs.in_states(client, [StateType.RUNNING])
    beats = {run.id: _last_beat(client, run) for run in runs}
    now = datetime.now(UTC)
    return {run: beat for run, beat in beats.items() if beat and now - beat > SILENCE}


def _last_beat(client: SyncPrefectClient, run: FlowRun) -> datetime | None:
    if run.start_time is None:
        return None
    which = EventFilter(
        event=EventNameFilter(name=[_BEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        occurred=EventOccurredFilter(since=run.start_time - timedelta(minutes=1)),
        order=EventOrder.DESC,
    )
    found = client.read_events(filter=which, limit=1).events
    return found[0].occurred if found else None
