"""Let an earlier champion serve again."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import rollback as steps
from tasks.load import release_data
from tasks.runtime import settings


@flow(name="rollback", flow_run_name="rollback {problem}")
def rollback(
    problem: str = "brain",
    version: str = "",
    reason: str = "",
    who: str = "",
    lake: str | None = None,
) -> dict[str, Any]:
    """Let a version serve that served before, by default the one before the champion.

    Returns problem, version, previous, who, reason and flow_run_id, as the journal keeps them.
    """
    store = release_data.open_lake(lake)
    return steps.roll_back(store, problems.load(problem), version, reason, who or settings.user())
