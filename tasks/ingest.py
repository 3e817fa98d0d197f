"""Steps of ingestion: check the manifest, vet and stage on a branch, audit, publish."""

from collections.abc import Mapping
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from time import perf_counter
from typing import Any

from neuro import delivery, ingestion, schemas, vet
from neuro.arrivals import Run
from neuro.delivery import Delivery
from neuro.errors import AuditError, ConfigError
from neuro.ingestion import Staged
from neuro.problem import Problem
from neuro.store import releases
from neuro.store.lake import Lake
from neuro.store.releases import Release
from tasks import artifacts, settings
from tasks.steps import step

_log = getLogger(__name__)


@step(name="read delivery")
def read(problem: Problem, source: str | None) -> Delivery:
    """List a delivery. The inbox (no source) may be empty; a folder that is named may not."""
    inbox = settings.load().inbox / problem.dataset
    if source is None:
        inbox.mkdir(parents=True, exist_ok=True)
    found = delivery.read(inbox if source is None else Path(source), problem)
    if source is not None and not found.items:
        raise ConfigError(f"source {source} holds no images; give the folder that holds them")
    _log.info("%d files in %s", len(found.items), source or inbox)
    return found


@step(name="check manifest")
def check_manifest(problem: Problem, found: Delivery) -> None:
    """Check names, labels, groups and metadata before anything is written; show what is broken."""
    report = schemas.check_manifest(found.items, problem)
    show_checks("manifest", problem, {**report.refused, **report.noted}, "Manifest: files by check")
    _log.info("manifest of %d files, by broken check: %s", report.files, dict(report.refused))
    report.require()


@step(name="vet and stage on a branch")
def stage(lake: Lake, problem: Problem, found: Delivery, n_verified: int = 64) -> Staged:
    """Vet what is new in limited child processes, and write everything to a branch."""
    run = Run(
        problem=problem,
        delivery=found,
        check=lambda paths: vet.check_files(paths, vet.VetConfig()),
        now=datetime.now(UTC),
        n_verified=n_verified,
    )
    staged = ingestion.stage(lake, run)
    _log.info("%d of %d files quarantined", len(staged.intake.quarantined), len(found.items))
    return staged


@step(name="audit")
def audit(staged: Staged) -> Mapping[str, Any]:
    """Read the branch back, check it, and write the passport."""
    try:
        return ingestion.audit_branch(staged)
    except AuditError as error:
        show_checks("branch", staged.problem, error.counts, "Branch: rows by broken check")
        raise


@step(name="publish")
def publish(staged: Staged, passport: Mapping[str, Any], started: float) -> dict[str, Any]:
    """Make the branch the current release, and show what came in. started: by perf_counter."""
    release = ingestion.publish(staged, passport)
    receipt = ingestion.receipt(staged, release)
    show(staged.problem, release)
    if receipt["reasons"]:
        rows = [{"reason": code, "files": n} for code, n in receipt["reasons"].items()]
        artifacts.table(f"quarantine-{staged.problem.name}", rows, "Quarantined files by reason")
    _log.info("release %s: %d accepted", release.name, receipt["accepted"])
    return receipt | {"seconds": round(perf_counter() - started, 2)}


def nothing(lake: Lake, problem: Problem, started: float) -> dict[str, Any]:
    """The receipt of an empty inbox: the current release stays."""
    release = releases.current(lake, problem.dataset)
    artifacts.label_run(problem.name, release.name if release else "", name="ingest: seen 0")
    _log.info("seen 0: the inbox is empty")
    return {
        "run_id": "",
        "release": release.name if release else None,
        "content_hash": release.content_hash if release else None,
        **dict.fromkeys(("seen", "accepted", "repeated", "quarantined", "conflicts"), 0),
        "reasons": {},
        "findings": 0,
        "verified": 0,
        "seconds": round(perf_counter() - started, 2),
    }


def show_checks(kind: str, problem: Problem, counts: Mapping[str, int], title: str) -> None:
    """Show broken schema checks with how many rows broke each; never a value."""
    rows = [{"check": name, "rows": n} for name, n in sorted(counts.items())]
    if rows:
        artifacts.table(f"{kind}-{problem.name}", rows, title)


def show(problem: Problem, release: Release) -> None:
    """Tag the run and show the release's passport."""
    synthetic = "synthetic" if release.is_synthetic else ""
    artifacts.label_run(problem.name, release.name, synthetic, name=f"ingest {release.name}")
    passport = release.passport
    flat = {
        **{f"label {name or '(none)'}": n for name, n in passport["labels"].items()},
        **{f"split {name}": n for name, n in passport["splits"].items()},
        **{f"twins: {name}": n for name, n in passport["twins"].items()},
        **{f"look-up accuracy, {name}": v for name, v in passport["lookup"].items()},
    }
    rows = [{"what": "images", "figure": passport["images"]}]
    rows += [{"what": "groups", "figure": passport["groups"]}]
    rows += [{"what": name, "figure": value} for name, value in flat.items()]
    title = f"Passport of {release.name}" + (" (synthetic images)" if synthetic else "")
    artifacts.table(f"passport-{problem.name}", rows, title)
