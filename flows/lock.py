"""Lock fresh test samples, by which the gate decides from now on."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import lock as steps
from tasks.load import release_data
from tasks.runtime import settings


@flow(name="lock", flow_run_name="lock {problem} {release}")
def lock(
    release: str = "",
    problem: str = "brain",
    reason: str = "",
    who: str = "",
    lake: str | None = None,
) -> dict[str, Any]:
    """Lock the test samples of a release (default: the current one) that the last lock had not.

    Returns problem, release, after, n, groups, who and reason, as the journal keeps them.
    """
    question, store = problems.load(problem), release_data.open_lake(lake)
    loaded = release_data.load(store, question, release or None)
    return steps.lock(loaded, reason, who or settings.user())
