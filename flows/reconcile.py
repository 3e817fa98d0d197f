"""Start what should have been started: retrainings whose event was lost or whose run died."""

from typing import Any

from prefect import flow

from tasks import monitor
from tasks import reconcile as steps
from tasks.load import release_data


@flow(name="reconcile")
def reconcile(lake: str | None = None) -> dict[str, Any]:
    """Start at most one retraining for each problem, of a cause that is open and may start now.

    A cause is open where a stored verdict asks for it, or a run that began by itself ended without
    a decision. Returns started; waiting: by cause, why not now; and ended, runs that were dead.
    """
    store = release_data.open_lake(lake)
    ended = steps.end_dead()
    return {"ended": ended} | steps.start_open(store, monitor.with_champion(store), lake)
