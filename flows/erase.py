"""Erase images everywhere, supersede the releases that held them, and prove it."""

from typing import Any

from prefect import flow

from neuro.erasure.erase import ErasureRequest
from neuro.problems import problem as problems
from tasks import erase as steps
from tasks import redraw_pages
from tasks.load import release_data
from tasks.runtime import settings


@flow(name="erase", flow_run_name="erase {problem}")
def erase(
    problem: str = "brain",
    group: str = "",
    sample: str = "",
    reason: str = "",
    who: str = "",
    also: list[str] | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Erase a group (its digest, or a patient's id) or a sample (its digest or source name).

    Prefect keeps these parameters: rather give digests than ids and names. also: problem files of
    other datasets that hold one of the images. Returns run, sample_ids, copies, superseded,
    current, verified, searched, found, is_proven and what was removed.
    """
    request = ErasureRequest(
        problem=problems.load(problem),
        group=group,
        sample=sample,
        reason=reason,
        who=who or settings.user(),
    )
    store, others = release_data.open_lake(lake), [problems.load(name) for name in also or ()]
    return steps.models(redraw_pages.pages(store, steps.erase(store, request, others)))
