"""Steps of ingestion: vet, stage on a branch, audit, publish."""

from collections.abc import Sequence
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from time import perf_counter
from typing import Any

from neuro import delivery, ingestion, vet
from neuro.audit import Passport
from neuro.delivery import Delivery
from neuro.errors import ConfigError
from neuro.ingestion import Staged, Vetted
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


@step(name="vet")
def vet_files(found: Delivery) -> list[Vetted]:
    """Check every file's bytes in limited child processes."""
    results = vet.check_files([item.path for item in found.items], vet.VetConfig())
    vetted = list(zip(found.items, results, strict=True))
    _log.info("%d of %d files rejected", sum(hasattr(r, "code") for _, r in vetted), len(vetted))
    return vetted


@step(name="stage on a branch")
def stage(lake: Lake, problem: Problem, found: Delivery, vetted: Sequence[Vetted]) -> Staged:
    """Give newcomers group and split, and write everything to a branch."""
    now = datetime.now(UTC)
    return lake.insist("stage", lambda: ingestion.stage(lake, problem, found, vetted, now))


@step(name="audit")
def audit(staged: Staged) -> Passport:
    """Read the branch back, check it, and write the passport."""
    return staged.branch.lake.insist("audit", lambda: ingestion.audit_branch(staged))


@step(name="publish")
def publish(staged: Staged, passport: Passport, started: float) -> dict[str, Any]:
    """Make the branch the current release, and show what came in. started: by perf_counter."""
    lake = staged.branch.lake
    release = lake.insist("publish", lambda: ingestion.publish(staged, passport))
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
        "seconds": round(perf_counter() - started, 2),
    }


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
