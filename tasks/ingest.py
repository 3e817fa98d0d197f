"""Steps of ingestion: check the manifest, vet and stage on a branch, audit, publish."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from time import perf_counter
from typing import Any

from neuro.errors import AuditError
from neuro.images import sandbox
from neuro.ingest import delivery, file_kinds, inbox, inbox_fetch, pipeline, schemas, sources
from neuro.ingest import originals as landings
from neuro.ingest.delivery import Delivery
from neuro.ingest.inbox import InboxScan
from neuro.ingest.originals import LandingZone
from neuro.ingest.pipeline import Staged
from neuro.ingest.schemas import ManifestReport
from neuro.ingest.sources import Listing
from neuro.ingest.vet_new import IngestRun
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from tasks import passport as passport_pages
from tasks.record import artifacts, journals
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@contextmanager
def opened(problem: Problem, source: str | None, follow: Sequence[str] = ()) -> Iterator[Listing]:
    """The files of a source, or of the inbox; what had to be unpacked is removed afterwards."""
    here = settings.load()
    scratch, limit = here.home / "scratch", here.s3_deadline_s
    if source is None:
        where = f"{here.inbox}/{problem.dataset}"
        with inbox_fetch.opened(where, scratch, here.s3_endpoint, limit, follow) as listing:
            yield listing
    else:
        with sources.opened(
            source, scratch, endpoint=here.s3_endpoint, deadline_s=limit, follow=follow
        ) as listing:
            yield listing


@step(name="read delivery")
def read(lake: Lake, problem: Problem, listing: Listing, source: str | None) -> InboxScan:
    """List what is to be read: all of a named source, which may not be empty; the inbox's news."""
    if source is not None:
        found = delivery.read(listing, problem)
        if not found.items:
            raise file_kinds.no_images(source, found.skipped)
        _log.info("%d files in %s", len(found.items), source)
        _log_skipped(found)
        return InboxScan(fresh=found, waiting=0, known=frozenset(), marks={})
    names = [release.name for release in releases.history(lake, problem.dataset)]
    marks = inbox.load_marks(_state(lake, problem), names)
    found, versions = inbox_fetch.read(listing, problem), inbox_fetch.versions(listing, problem)
    settle_s = settings.load().inbox_settle_s
    scan = inbox.scan(found, marks, datetime.now(UTC), settle_s, versions)
    counts = (len(scan.fresh.items), len(scan.known), scan.waiting)
    _log.info("inbox %s: %d new, %d read before, waiting %d", listing.where, *counts)
    _log_skipped(found)
    return inbox_fetch.fetch(scan, listing, problem)


def _log_skipped(found: Delivery) -> None:
    """Say how much was skipped; the names are for the receipt alone, as they may name patients."""
    counts = file_kinds.skipped_counts(found.skipped)["skipped"]
    if counts:
        _log.info("skipped: %s", ", ".join(f"{n} x {reason}" for reason, n in counts.items()))


@step(name="check manifest")
def check_manifest(problem: Problem, found: Delivery) -> ManifestReport:
    """Check names, labels, groups and metadata before anything is written; show what is broken."""
    for remark in found.remarks:
        _log.warning("%s", remark)
    report = schemas.check_manifest(found.items, problem)
    show_checks("manifest", problem, {**report.refused, **report.noted}, "Manifest: files by check")
    _log.info("manifest of %d files, by broken check: %s", report.files, dict(report.refused))
    report.require()
    return report


@step(name="vet and stage on a branch")
def stage(
    lake: Lake,
    problem: Problem,
    found: Delivery,
    manifest: ManifestReport,
    n_verified: int = 64,
) -> Staged:
    """Vet what is new in limited child processes, and write everything to a branch."""
    run = IngestRun(
        problem=problem,
        delivery=found,
        check=lambda paths: sandbox.check_files(paths, sandbox.VetConfig()),
        now=datetime.now(UTC),
        n_verified=n_verified,
        manifest=manifest,
    )
    staged = lake.insist("stage", lambda: pipeline.stage(lake, run))
    _log.info("%d of %d files quarantined", len(staged.files.quarantined), len(found.items))
    return staged


@step(name="audit")
def audit(staged: Staged) -> Mapping[str, Any]:
    """Read the branch back, check it, and write the passport."""
    try:
        return staged.branch.lake.insist("audit", lambda: pipeline.audit_branch(staged))
    except AuditError as error:
        show_checks("branch", staged.problem, error.counts, "Branch: rows by broken check")
        raise


def check_landing(lake: Lake, landing: str | None) -> None:
    """Refuse a place for originals that is none, before anything is done."""
    if where := landing or settings.load().landing:
        landings.check(where, lake)


@step(name="copy originals")
def land(staged: Staged, landing: str | None) -> None:
    """Copy the originals of what enters or entered before, where the site has a place for them."""
    here = settings.load()
    zone = LandingZone(
        where=landing or here.landing, endpoint=here.s3_endpoint, deadline_s=here.s3_deadline_s
    )
    if zone.where:
        run = staged.run
        made = landings.keep(
            staged.branch.lake, zone, run.delivery.items, staged.delivered_images, run.now
        )
        _log.info("%d originals copied to %s", made, zone.where)


@step(name="publish")
def publish(staged: Staged, passport: Mapping[str, Any], started: float) -> dict[str, Any]:
    """Make the branch the current release, and show what came in. started: by perf_counter."""
    lake = staged.branch.lake
    release = None
    if pipeline.holds_nothing(staged):
        staged.branch.drop()
    else:
        release = lake.insist("publish", lambda: pipeline.publish(staged, passport))
        journals.export_head(lake, release.name)
        passport_pages.show(lake, staged.problem, release)
    receipt = pipeline.receipt(staged, release)
    if receipt["reasons"]:
        rows = [{"reason": code, "files": n} for code, n in receipt["reasons"].items()]
        artifacts.table(f"quarantine-{staged.problem.name}", rows, "Quarantined files by reason")
    if staged.findings:
        rows = [{"finding": code, "samples": n} for code, n in receipt["found"].items()]
        artifacts.table(f"findings-{staged.problem.name}", rows, "Findings by code")
    if receipt["skipped"]:
        rows = [{"what": reason, "files": n} for reason, n in receipt["skipped"].items()]
        artifacts.table(f"skipped-{staged.problem.name}", rows, "Skipped, by reason")
    name = release.name if release else "none, as nothing was accepted"
    _log.info("release %s: %d accepted", name, receipt["accepted"])
    return receipt | {"seconds": round(perf_counter() - started, 2)}


@step(name="remember")
def remember(staged: Staged, scan: InboxScan, release: str | None) -> None:
    """Note which files of the inbox need not be read again: all whose bytes could be read."""
    quarantined = staged.files.quarantined
    unread = {f.item.source_name for f in quarantined if f.rejected.code == "unreadable"}
    done = [mark for name, mark in scan.marks.items() if name not in unread]
    if scan.marks and release:
        state = _state(staged.branch.lake, staged.problem)
        inbox.save_marks(state, release, scan.known.union(done))


def nothing(lake: Lake, problem: Problem, scan: InboxScan, started: float) -> dict[str, Any]:
    """The receipt of an inbox without news: the current release stays."""
    release = releases.current(lake, problem.dataset)
    artifacts.label_run(problem.name, release.name if release else "", name="ingest: seen 0")
    _log.info("seen 0, waiting %d: the inbox holds nothing new", scan.waiting)
    return {
        "run_id": "",
        "release": release.name if release else None,
        "content_hash": release.content_hash if release else None,
        **dict.fromkeys(("seen", "accepted", "repeated", "quarantined"), 0),
        "unlabelled": 0,
        "conflicts": 0,
        "reasons": {},
        "findings": 0,
        "found": {},
        "verified": 0,
        "remarks": [],
        **file_kinds.skipped_counts(scan.fresh.skipped),
        "waiting": scan.waiting,
        "seconds": round(perf_counter() - started, 2),
    }


def _state(lake: Lake, problem: Problem) -> Path:
    """Where it is noted what of the inbox is in this lake."""
    where = hashlib.sha256(lake.uri.encode()).hexdigest()[:12]
    return settings.load().home / "polled" / f"{problem.dataset}-{where}.json"


def show_checks(kind: str, problem: Problem, counts: Mapping[str, int], title: str) -> None:
    """Show broken schema checks with how many rows broke each; never a value."""
    rows = [{"check": name, "rows": n} for name, n in sorted(counts.items())]
    if rows:
        artifacts.table(f"{kind}-{problem.name}", rows, title)
