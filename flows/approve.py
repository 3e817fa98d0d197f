"""Let a candidate serve that waits for a person."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import approve as steps
from tasks.approve import Approval
from tasks.load import envelopes, release_data
from tasks.runtime import settings


@flow(name="approve", flow_run_name="approve {problem} {version}")
def approve(
    version: str = "",
    problem: str = "brain",
    reason: str = "",
    who: str = "",
    lake: str | None = None,
) -> dict[str, Any]:
    """Approve a version that passed the gate, as the account that runs this unless ``who`` says.

    Returns problem, version, previous, who, reason, is_promoted, and how many persons are still
    asked for.
    """
    question, store = problems.load(problem), release_data.open_lake(lake)
    approval = Approval(version=version, reason=reason, who=who or settings.user())
    return steps.approve(store, question, approval, envelopes.of_problem(question))
