"""Steps of ingestion: vet, stage on a branch, audit, publish."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from time import perf_counter
from typing import Any

from neuro import delivery, inbox, ingestion, sources, vet
from neuro.audit import Passport
from neuro.delivery import Delivery
from neuro.errors import ConfigError
from neuro.inbox import Poll
from neuro.ingestion import Staged, Vetted
from neuro.problem import Problem
from neuro.sources import Listing
from neuro.store import releases
from neuro.store.lake import Lake
from neuro.store.releases import Release
from tasks import artifacts, settings
from tasks.steps import step

_log = getLogger(__name__)


@contextmanager
def opened(problem: Problem, source: str | None) -> Iterator[Listing]:
    """The files of a source, or of the inbox; what had to be unpacked is removed afterwards."""
    here = settings.load()
    if source is None:
        inbox_folder = here.inbox / problem.dataset
        inbox_folder.mkdir(parents=True, exist_ok=True)
        yield sources.folder(inbox_folder)
    else:
        with sources.opened(source, here.home / "scratch") as listing:
            yield listing


@step(name="read delivery")
def read(lake: Lake, problem: Problem, listing: Listing, source: str | None) -> Poll:
    """List what is to be read: all of a named source, which may not be empty; the inbox's news."""
    found = delivery.read(listing, problem)
    if source is not None:
        if not found.items:
            raise ConfigError(f"source {source} holds no images; give the folder that holds them")
        _log.info("%d files in %s", len(found.items), source)
        return Poll(fresh=found, waiting=0, known=frozenset(), marks={})
    names = [release.name for release in releases.history(lake, problem.dataset)]
    marks = inbox.recall(_state(lake, problem), names)
    poll = inbox.look(found, marks, datetime.now(UTC), settings.load().inbox_settle_s)
    counts = (len(poll.fresh.items), len(poll.known), poll.waiting)
    _log.info("inbox %s: %d new, %d read before, waiting %d", listing.where, *counts)
    return poll


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
    return ingestion.stage(lake, problem, found, vetted, datetime.now(UTC))


@step(name="audit")
def audit(staged: Staged) -> Passport:
    """Read the branch back, check it, and write the passport."""
    return ingestion.audit_branch(staged)


@step(name="publish")
def publish(staged: Staged, passport: Passport, started: float) -> dict[str, Any]:
    """Make the branch the current release, and show what came in. started: by perf_counter."""
    release = ingestion.publish(staged, passport)
    receipt = ingestion.receipt(staged, release)
    show(staged.problem, release)
    if receipt["reasons"]:
        rows = [{"reason": code, "files": n} for code, n in receipt["reasons"].items()]
        artifacts.table(f"quarantine-{staged.problem.name}", rows, "Quarantined files by reason")
    _log.info("release %s: %d accepted", release.name, receipt["accepted"])
    return receipt | {"seconds": round(perf_counter() - started, 2)}


@step(name="remember")
def remember(
    lake: Lake, problem: Problem, poll: Poll, vetted: Sequence[Vetted], release: str
) -> None:
    """Note which files of the inbox need not be read again: all whose bytes could be read."""
    done = [
        poll.marks[item]
        for item, result in vetted
        if item in poll.marks and getattr(result, "code", "") != "unreadable"
    ]
    if poll.marks:
        inbox.remember(_state(lake, problem), release, poll.known.union(done))


def nothing(lake: Lake, problem: Problem, poll: Poll, started: float) -> dict[str, Any]:
    """The receipt of an inbox without news: the current release stays."""
    release = releases.current(lake, problem.dataset)
    artifacts.label_run(problem.name, release.name if release else "", name="ingest: seen 0")
    _log.info("seen 0, waiting %d: the inbox holds nothing new", poll.waiting)
    return {
        "run_id": "",
        "release": release.name if release else None,
        "content_hash": release.content_hash if release else None,
        **dict.fromkeys(("seen", "accepted", "repeated", "quarantined", "conflicts"), 0),
        "reasons": {},
        "findings": 0,
        "waiting": poll.waiting,
        "seconds": round(perf_counter() - started, 2),
    }


def _state(lake: Lake, problem: Problem) -> Path:
    """Where it is noted what of the inbox is in this lake."""
    where = hashlib.sha256(lake.uri.encode()).hexdigest()[:12]
    return settings.load().home / "polled" / f"{problem.dataset}-{where}.json"


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
