"""Start a flow for every problem that has a champion: what the schedules do."""

from typing import Any, Literal

from prefect import flow

from tasks import monitor as steps
from tasks.load import release_data


@flow(name="monitor", flow_run_name="monitor: {starts}")
def monitor(
    starts: Literal["predict", "drift", "retrain"] = "drift", lake: str | None = None
) -> dict[str, Any]:
    """Start ``predict``, ``drift`` or a monthly ``retrain``, a run of its own for each problem.

    A problem is watched from its first promotion on, wherever its file is. Returns started, the
    problems, and skipped, those whose file is not found any more.
    """
    store = release_data.open_lake(lake)
    return steps.start(starts, steps.with_champion(store), lake)
