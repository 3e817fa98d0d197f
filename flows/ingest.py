"""Bring images in: vet, stage on a branch, audit, publish a release."""

from time import perf_counter
from typing import Any

from prefect import flow

from neuro import problem as problems
from tasks import data
from tasks import ingest as steps


@flow(name="ingest", flow_run_name="ingest {problem}")
def ingest(
    problem: str = "brain",
    source: str | None = None,
    lake: str | None = None,
    branch: str | None = None,
) -> dict[str, Any]:
    """Ingest a delivery; without a source, whatever lies in the inbox.

    problem: name or TOML file. branch: a user's branch, which alone shows it; else main.
    Returns run_id, release, content_hash and the counts, of which
    seen = accepted + repeated + quarantined, and seconds.
    """
    started = perf_counter()
    question = problems.load(problem)
    store = data.open_branch(lake, question, branch)
    found = steps.read(question, source)
    if not found.items:
        return steps.nothing(store, question, started)
    staged = steps.stage(store, question, found, steps.vet_files(found))
    return steps.publish(staged, steps.audit(staged), started)
