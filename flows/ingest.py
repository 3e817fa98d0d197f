"""Bring images in: vet, stage on a branch, audit, publish a release."""

from typing import Any

from prefect import flow

from neuro import problem as problems
from tasks import data
from tasks import ingest as steps


@flow(name="ingest", flow_run_name="ingest {problem}")
def ingest(
    problem: str = "brain", source: str | None = None, lake: str | None = None
) -> dict[str, Any]:
    """Ingest a delivery; without a source, whatever lies in the inbox.

    problem: name or TOML file. Returns run_id, release, content_hash and the counts, of which
    seen = accepted + repeated + quarantined.
    """
    question = problems.load(problem)
    found = steps.read(question, source)
    if not found.items:
        return {"seen": 0, "accepted": 0, "repeated": 0, "quarantined": 0}
    staged = steps.stage(data.open_lake(lake), question, found, steps.vet_files(found))
    return steps.publish(staged, steps.audit(staged))
