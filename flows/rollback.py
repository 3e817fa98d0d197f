"""Let an earlier champion serve again."""

import time
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

    Returns champion, which serves now, previous, seconds, and what the journal keeps of it.
    """
    started, store = time.perf_counter(), release_data.open_lake(lake)
    question = problems.load(problem)
    done = steps.roll_back(store, question, version, reason, who or settings.user())
    seconds = round(time.perf_counter() - started, 2)
    return {"champion": done["version"], "seconds": seconds, **done}
