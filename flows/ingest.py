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
    n_verified: int = 64,
) -> dict[str, Any]:
    """Ingest a delivery; without a source, whatever lies in the inbox.

    problem: name or TOML file. n_verified: images read back at the end. Returns run_id, release,
    content_hash and the counts, of which seen = accepted + repeated + quarantined, and seconds.
    """
    started = perf_counter()
    question, store = problems.load(problem), data.open_lake(lake)
    found = steps.read(question, source)
    if not found.items:
        return steps.nothing(store, question, started)
    steps.check_manifest(question, found)
    staged = steps.stage(store, question, found, n_verified)
    return steps.publish(staged, steps.audit(staged), started)
