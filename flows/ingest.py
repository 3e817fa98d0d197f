"""Bring images in: vet, stage on a branch, audit, publish a release."""

from time import perf_counter
from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import ingest as steps
from tasks.load import release_data


@flow(name="ingest", flow_run_name="ingest {problem}")
def ingest(
    problem: str = "brain",
    source: str | None = None,
    lake: str | None = None,
    n_verified: int = 64,
    branch: str | None = None,
    landing: str | None = None,
    follow: list[str] | None = None,
) -> dict[str, Any]:
    """Ingest a delivery; without a source, what is new in the inbox.

    problem: name or TOML file. source: folder, zip or tar, single file or s3://bucket/prefix.
    n_verified: images read back at the end. branch: a user's branch, which alone shows it; else
    main. landing: folder or s3:// address that originals are copied to (default: NEURO_LANDING,
    else nowhere). follow: folders outside the source that links in it may lead to. Returns run_id,
    release (None where nothing was accepted), content_hash and the counts, of which seen =
    accepted + repeated + quarantined, what was skipped, waiting (files of the inbox that may still
    be written), and seconds.
    """
    started = perf_counter()
    question = problems.load(problem)
    store = release_data.open_branch(lake, question, branch)
    steps.check_landing(store, landing)
    with steps.opened(question, source, follow or ()) as listing:
        scan = steps.read(store, question, listing, source)
        if not scan.fresh.items:
            return steps.nothing(store, question, scan, started)
        manifest = steps.check_manifest(question, scan.fresh)
        staged = steps.stage(store, question, scan.fresh, manifest, n_verified)
        passport = steps.audit(staged)
        steps.land(staged, landing)
        receipt = steps.publish(staged, passport, started)
        steps.remember(staged, scan, receipt["release"])
    return receipt | {"waiting": scan.waiting}
