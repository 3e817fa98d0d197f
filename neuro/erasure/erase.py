"""Erasure: images gone from tables, versions, tags, branches and caches, and searched for after."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from neuro.dataset import contents as dataset_contents
from neuro.erasure import derived_files, file_search, proof, search_terms
from neuro.erasure.proof import Installation
from neuro.errors import ConfigError, UnknownNameError
from neuro.ingest import originals
from neuro.ingest.pipeline import inspect
from neuro.lake import (
    branches,
    erasure,
    journal,
    read_drafts,
    releases,
    request_spool,
    requests,
    tombstones,
)
from neuro.lake.lake import Lake
from neuro.lake.read_drafts import ReadDrafts
from neuro.lake.releases import Draft, Release
from neuro.lake.request_spool import Spool
from neuro.problems.problem import Problem

SHORTEST = 8  # of a digest that is given by its beginning


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasureRequest:
    """What is to be erased and why: a group or a sample.

    group: a group's digest or a patient's id. sample: a digest or a source name.
    """

    problem: Problem
    group: str
    sample: str
    reason: str
    who: str

    def __post_init__(self) -> None:
        if bool(self.group) == bool(self.sample):
            raise ConfigError("erase takes either --group or --sample")
        if not self.reason.strip():
            raise ConfigError("reason is empty; say why, it is kept in the journal")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasurePlan:
    """An erasure under way, kept in the home folder until it is done, so that it can be repeated.

    needles: what to search for afterwards, in base64. They are pieces of the images, so the plan is
    removed in the end. copies: those of the samples that were not asked for, but hold the picture
    of one that was. digests: of all that was kept of the images. superseded, contents: names and
    content hashes of the releases that held one. n_lifts: how often these images were let in again
    before.
    """

    sample_ids: Sequence[str]
    needles: Sequence[str]
    copies: Sequence[str] = field(default=())
    digests: Sequence[str] = field(default=())
    superseded: Sequence[str] = field(default=())
    contents: Sequence[str] = field(default=())
    n_lifts: int = 0

    @property
    def run(self) -> str:
        """Id of the erasure: the same images are the same one, unless they were let in again."""
        lifts = [str(self.n_lifts)] if self.n_lifts else []
        text = "\n".join([*sorted(self.sample_ids), *lifts])
        return f"erase-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasureResult:
    """What was done. found: files that still hold some of it; empty is the proof.

    copies: as in the plan. digests: of the images, and of what was kept of them. contents,
    readable: content hashes of the superseded releases, and of all that can be read.
    kept_as_group: digests that go on naming a group with other members. searched: how many byte
    strings.
    """

    run: str
    sample_ids: Sequence[str]
    copies: Sequence[str]
    digests: Sequence[str]
    superseded: Sequence[str]
    contents: Sequence[str]
    readable: Sequence[str]
    current: Mapping[str, str]
    verified: int
    searched: int
    found: Sequence[str]
    kept_as_group: Sequence[str]
    removed: Mapping[str, Any]


def plan_path(home: Path, request: ErasureRequest) -> Path:
    """Where the plan of a request lies while it is under way; the name tells nobody who it is."""
    subject = f"{request.problem.dataset}/{request.group}/{request.sample}"
    return home / "erasures" / f"{hashlib.sha256(subject.encode()).hexdigest()[:16]}.json"


def make_plan(lake: Lake, request: ErasureRequest, home: Path) -> ErasurePlan:
    """Whom the request means, or the plan that a crash left. Raises UnknownNameError.

    The same picture is erased under every digest: what is left of it would be the picture itself.
    """
    path = plan_path(home, request)
    if path.is_file():
        return ErasurePlan(**json.loads(path.read_text(encoding="utf-8")))
    requested = _resolve(lake, request, home)
    copies = erasure.copies(lake, requested)
    sample_ids = sorted([*requested, *copies])
    payload = erasure.payload(lake, sample_ids)
    spooled = _spool(home).images(sample_ids)
    payload = replace(payload, stored=payload.stored | spooled)
    windows = search_terms.needles(payload)
    kept = {hashlib.sha256(content).hexdigest() for content in payload.stored | payload.others}
    own_windows = erasure.not_in_others(lake, sample_ids, windows)
    return ErasurePlan(
        sample_ids=sample_ids,
        copies=copies,
        needles=[base64.b64encode(window).decode() for window in own_windows],
        digests=sorted(kept.union(sample_ids)),
        n_lifts=tombstones.n_lifts(lake, set(sample_ids)),
    )


def preview(lake: Lake, request: ErasureRequest, home: Path) -> ErasurePlan:
    """What an erasure would take away and which releases it would supersede; nothing is written."""
    plan = make_plan(lake, request, home)
    return _superseding(plan, erasure.holders(lake, plan.sample_ids))


def erase(
    lake: Lake,
    request: ErasureRequest,
    installation: Installation,
    problems: Mapping[str, Problem],
    now: datetime,
) -> ErasureResult:
    """Erase, publish what remains, and search for what should be gone.

    problems: one for each dataset that holds an image of it. Cut short at any point, the same
    request completes it. Nobody else should write to the lake meanwhile.
    """
    with _spool(installation.home).standing_still():  # else a row of it may come into the lake
        return _erase(lake, request, installation, problems, now)


def _erase(
    lake: Lake,
    request: ErasureRequest,
    installation: Installation,
    problems: Mapping[str, Problem],
    now: datetime,
) -> ErasureResult:
    path = plan_path(installation.home, request)
    plan = make_plan(lake, request, installation.home)
    _require_problems(lake, plan, problems)
    _require_rights(lake, installation, plan)
    erasure.begin(lake, plan.run)
    branches.complete_drops(lake)
    holders = erasure.holders(lake, plan.sample_ids)
    plan = _superseding(plan, holders)
    _write(path, plan)
    record = {
        "reason": request.reason,
        "who": request.who,
        "problem": request.problem.name,
        "sha256": list(plan.sample_ids),
        "superseded": plan.superseded,
    }
    journal.record(lake, tombstones.KIND, plan.run, record, now)
    n_originals = originals.remove(lake, installation.landing_zone, plan.sample_ids)
    n_asked = requests.count(lake, plan.sample_ids)
    n_asked += _spool(installation.home).erase(plan.sample_ids)
    n_rows = erasure.delete(lake, plan.sample_ids)
    for release in holders:
        lake.insist("supersede", partial(_supersede, lake, release, problems, plan.run, now))
    lake.insist("repin", lambda: erasure.repin(lake, plan.sample_ids, holders))
    erasure.purge(lake)
    removed = {"rows": n_rows, "originals": n_originals, "requests": n_asked}
    removed |= _remove_derived(lake, installation, plan)
    result = _prove(lake, installation, plan, removed, path)
    erasure.end(lake)
    if not result.found:  # else the same request searches again, once a person has looked
        path.unlink()
    return result


def _require_problems(lake: Lake, plan: ErasurePlan, problems: Mapping[str, Problem]) -> None:
    unreadable = erasure.datasets_of(lake, plan.sample_ids) - problems.keys()
    if unreadable:
        raise ConfigError(
            f"dataset {min(unreadable)} holds one of these images too, and no built-in problem "
            "reads it; name a problem file of that dataset with --also FILE"
        )


def _require_rights(lake: Lake, installation: Installation, plan: ErasurePlan) -> None:
    """Raises DeniedError where one of all places would refuse to forget."""
    for place in (lake.store, *installation.inboxes()):
        place.require_removal_rights()
    originals.require_removal_rights(lake, installation.landing_zone, plan.sample_ids)


def _superseding(plan: ErasurePlan, holders: Sequence[Release]) -> ErasurePlan:
    """The plan with these releases added, beside those of an earlier try."""
    names = {release.name for release in holders}
    contents = {release.content_hash for release in holders}
    return replace(
        plan,
        superseded=sorted(names.union(plan.superseded)),
        contents=sorted(contents.union(plan.contents)),
    )


def _spool(home: Path) -> Spool:
    return Spool(folder=home / request_spool.FOLDER)


def _resolve(lake: Lake, request: ErasureRequest, home: Path) -> list[str]:
    rows = erasure.members(lake, request.problem.dataset)
    if request.sample:
        names = {request.sample, request.problem.name_digest(request.sample)}
        chosen = [
            row
            for row in rows
            if row["source_name"] in names or _is_beginning(request.sample, row["sha256"])
        ]
        if len(chosen) > 1:
            raise ConfigError(f"{len(chosen)} samples are named {request.sample!r}; give a digest")
        if not chosen and (asked := _asked(lake, request, home)):
            return [asked]
    else:
        key = hashlib.sha256(f"{request.problem.dataset}/{request.group}".encode()).hexdigest()
        groups = {
            row["group_id"]
            for row in rows
            if row["group_key"] == key or _is_beginning(request.group, row["group_id"])
        }
        chosen = [row for row in rows if row["group_id"] in groups]
    if not chosen:
        what = f"sample {request.sample!r}" if request.sample else f"group {request.group!r}"
        raise UnknownNameError(
            f"dataset {request.problem.dataset} holds no {what}; give a digest (at least "
            f"{SHORTEST} of its characters), a source name or a patient's id. "
            "`neuro journal list erasure` lists what was erased already"
        )
    return [row["sha256"] for row in chosen]


def _asked(lake: Lake, request: ErasureRequest, home: Path) -> str:
    """The digest of an image that a service was asked about and that is in no release."""
    if len(request.sample) < SHORTEST:
        return ""
    dataset, beginning = request.problem.dataset, request.sample
    digests = requests.asked(lake, dataset, beginning) | _spool(home).asked(dataset, beginning)
    if len(digests) > 1:
        raise ConfigError(f"{len(digests)} images begin with {beginning}; give a whole digest")
    return next(iter(digests), "")


def _is_beginning(text: str, digest: str) -> bool:
    return len(text) >= SHORTEST and digest.startswith(text)


def _supersede(
    lake: Lake, release: Release, problems: Mapping[str, Problem], run: str, now: datetime
) -> None:
    """Publish what remains, where the release is the current one of its line."""
    for view in erasure.views(lake):
        if releases.current(view, release.dataset) != release:
            continue
        left_out = releases.left_out(view, release.dataset, run)
        contents = dataset_contents.read(view, release.dataset, left_out=left_out)
        passport = inspect(contents, problems[release.dataset])
        releases.publish(
            view,
            Draft(
                dataset=release.dataset,
                passport=passport.as_dict(),
                creator=run,
                note="erasure",
                is_synthetic=release.is_synthetic,
                now=now,
            ),
        )


def _write(path: Path, plan: ErasurePlan) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    scratch.replace(path)


def _remove_derived(lake: Lake, installation: Installation, plan: ErasurePlan) -> dict[str, Any]:
    """Remove what was made of the images outside the lake, and their copies in the inbox."""
    home = installation.home
    needles = [base64.b64decode(text) for text in plan.needles]
    names = [sample_id.encode() for sample_id in plan.sample_ids]
    pages, verdicts = derived_files.remove_pages(
        lake, home.resolve() / "reports", {*plan.superseded}, [*needles, *names]
    )
    redraw = [derived_files.to_redraw(body) for body in verdicts]
    windows = {(body["problem"], body["window"]) for body in verdicts}
    return {
        "frames": derived_files.remove_frames(home, erasure.readable(lake)),
        "predictions": derived_files.remove_predictions(home, plan.sample_ids),
        "drafts": ReadDrafts(folder=home / read_drafts.FOLDER).erase(plan.sample_ids),
        "pages": pages,
        "pages_elsewhere": sum(installation.drop_page(*window) for window in sorted(windows)),
        "redraw": list({each["command"]: each for each in redraw}.values()),
        "inbox": sum(
            file_search.remove_copies(inbox, plan.sample_ids) for inbox in installation.inboxes()
        ),
    }


def _prove(
    lake: Lake,
    installation: Installation,
    plan: ErasurePlan,
    removed: Mapping[str, Any],
    path: Path,
) -> ErasureResult:
    """Read every surviving release, and search every file for what should be gone."""
    n_survivors, current = proof.read_survivors(lake)
    kept_as_group = erasure.group_names(lake, plan.sample_ids)
    pixels = [base64.b64decode(text) for text in plan.needles]
    texts = [name.encode() for name in plan.sample_ids if name not in kept_as_group]
    return ErasureResult(
        run=plan.run,
        sample_ids=plan.sample_ids,
        copies=plan.copies,
        digests=plan.digests or plan.sample_ids,  # a plan of before has none
        superseded=plan.superseded,
        contents=plan.contents,
        readable=sorted(erasure.readable(lake)),
        current=current,
        verified=n_survivors,
        searched=len(pixels) + len(texts),
        found=proof.search(lake, installation, path, pixels, texts),
        kept_as_group=sorted(kept_as_group),
        removed=removed,
    )
