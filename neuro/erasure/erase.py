"""Erasure: images gone from tables, versions, tags, branches and caches, and searched for after."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

from neuro.dataset import contents as dataset_contents
from neuro.erasure import derived_files, proof
from neuro.erasure.proof import Site
from neuro.errors import ConfigError, UnknownNameError
from neuro.ingest.pipeline import inspect
from neuro.lake import (
    branch_names,
    branches,
    erasure,
    files,
    journal,
    releases,
    tombstones,
)
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.problems.problem import Problem

SHORTEST = 8  # of a digest that is given by its beginning


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
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
class Plan:
    """An erasure under way, kept in the home folder until it is done, so that it can be repeated.

    needles: what to search for afterwards, in base64; they are the reason why it is removed.
    n_lifts: how often these images were let in again before.
    """

    sample_ids: Sequence[str]
    needles: Sequence[str]
    superseded: Sequence[str] = field(default=())
    contents: Sequence[str] = field(default=())
    n_lifts: int = 0

    @property
    def run(self) -> str:
        """Id of the erasure: the same images are the same one, unless they were let in again."""
        again = [str(self.n_lifts)] if self.n_lifts else []
        text = "\n".join([*sorted(self.sample_ids), *again])
        return f"erase-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What was done. found: files that still hold some of it; empty is the proof.

    contents, readable: content hashes of the superseded releases, and of all that can be read.
    kept_as_group: digests that go on naming a group with other members. searched: how many byte
    strings.
    """

    run: str
    sample_ids: Sequence[str]
    superseded: Sequence[str]
    contents: Sequence[str]
    readable: Sequence[str]
    current: Mapping[str, str]
    verified: int
    searched: int
    found: Sequence[str]
    kept_as_group: Sequence[str]
    removed: Mapping[str, Any]


def require_rights(lake: Lake, site: Site) -> None:
    """Before anything is removed. Raises DeniedError where a bucket would refuse to forget."""
    for each in (files.of(lake), *site.incoming()):
        each.require_rights()


def plan_path(home: Path, request: Request) -> Path:
    """Where the plan of a request lies while it is under way; the name tells nobody who it is."""
    asked = f"{request.problem.dataset}/{request.group}/{request.sample}"
    return home / "erasures" / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"


def plan(lake: Lake, request: Request, home: Path) -> Plan:
    """Whom the request means, or the plan that a crash left. Raises UnknownNameError."""
    path = plan_path(home, request)
    if path.is_file():
        return Plan(**json.loads(path.read_text(encoding="utf-8")))
    sample_ids = _resolve(lake, request)
    if twins := erasure.copies(lake, sample_ids):
        raise ConfigError(
            f"the same picture is held as {twins[0][:12]} too, {len(twins)} in all; erase its "
            "group, or erase those first"
        )
    found = derived_files.needles(erasure.payloads(lake, sample_ids))
    own = erasure.not_in_others(lake, sample_ids, found)
    return Plan(
        sample_ids=sample_ids,
        needles=[base64.b64encode(one).decode() for one in own],
        n_lifts=tombstones.n_lifts(lake, set(sample_ids)),
    )


def preview(lake: Lake, request: Request, home: Path) -> Plan:
    """What an erasure would take away and which releases it would supersede; nothing is written."""
    asked = plan(lake, request, home)
    held = erasure.holders(lake, asked.sample_ids)
    return replace(asked, superseded=sorted({*asked.superseded, *(r.name for r in held)}))


def erase(
    lake: Lake, request: Request, site: Site, problems: Mapping[str, Problem], now: datetime
) -> Erased:
    """Erase, publish what remains, and search for what should be gone.

    problems: one for each dataset that holds an image of it. Cut short at any point, the same
    request completes it. Nobody else should write to the lake meanwhile.
    """
    require_rights(lake, site)
    home = site.home
    asked = plan(lake, request, home)
    if lacking := erasure.datasets_of(lake, asked.sample_ids) - problems.keys():
        raise ConfigError(
            f"dataset {min(lacking)} holds one of these images too, and no built-in problem reads "
            "it; erase it with --problem FILE of that dataset first"
        )
    erasure.begin(lake, asked.run)
    branches.complete_drops(lake)
    held = erasure.holders(lake, asked.sample_ids)
    names = sorted({*asked.superseded, *(release.name for release in held)})
    contents = sorted({*asked.contents, *(release.content_hash for release in held)})
    asked = replace(asked, superseded=names, contents=contents)
    _write(plan_path(home, request), asked)
    body: dict[str, Any] = {
        "reason": request.reason,
        "who": request.who,
        "problem": request.problem.name,
    }
    body |= {"sha256": list(asked.sample_ids), "superseded": names}
    journal.record(lake, tombstones.KIND, asked.run, body, now)
    rows = erasure.delete(lake, asked.sample_ids)
    for release in held:
        lake.insist("supersede", partial(_supersede, lake, release, problems, asked.run, now))
    lake.insist("repin", lambda: erasure.repin(lake, asked.sample_ids, held))
    erasure.purge(lake)
    removed = {"rows": rows, **_scrub(lake, site, asked)}
    done = _prove(lake, site, asked, removed, plan_path(home, request))
    erasure.end(lake)
    if not done.found:  # else the same request searches again, once a person has looked
        plan_path(home, request).unlink()
    return done


def _resolve(lake: Lake, request: Request) -> list[str]:
    rows = erasure.members(lake, request.problem.dataset)
    if request.sample:
        names = {request.sample, request.problem.name_digest(request.sample)}
        chosen = [
            r for r in rows if _begins(request.sample, r["sha256"]) or r["source_name"] in names
        ]
        if len(chosen) > 1:
            raise ConfigError(f"{len(chosen)} samples are named {request.sample!r}; give a digest")
    else:
        key = hashlib.sha256(f"{request.problem.dataset}/{request.group}".encode()).hexdigest()
        groups = {
            row["group_id"]
            for row in rows
            if row["group_key"] == key or _begins(request.group, row["group_id"])
        }
        chosen = [row for row in rows if row["group_id"] in groups]
    if not chosen:
        what = f"sample {request.sample!r}" if request.sample else f"group {request.group!r}"
        raise UnknownNameError(
            f"dataset {request.problem.dataset} holds no {what}; give a digest (at least "
            f"{SHORTEST} of its characters), a source name or a patient's id. "
            "`neuro journal erasure` lists what was erased already"
        )
    return [row["sha256"] for row in chosen]


def _begins(asked: str, digest: str) -> bool:
    return len(asked) >= SHORTEST and digest.startswith(asked)


def _supersede(
    lake: Lake, release: Release, problems: Mapping[str, Problem], run: str, now: datetime
) -> None:
    """Publish what remains, where the release is the current one of its line."""
    view = lake.on(branch_names.user_branch(release.dataset, release.branch))
    heads = [v for v in erasure.views(lake) if releases.current(v, release.dataset) == release]
    for there in heads or [view]:
        if releases.current(there, release.dataset) != release:
            continue
        hidden = releases.left_out(there, release.dataset, run)
        held = dataset_contents.read(there, release.dataset, left_out=hidden)
        passport = inspect(held, problems[release.dataset])
        releases.publish(
            there,
            Draft(
                dataset=release.dataset,
                passport=passport.as_dict(),
                creator=run,
                note="erasure",
                is_synthetic=release.is_synthetic,
                now=now,
            ),
        )


def _write(path: Path, asked: Plan) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(asdict(asked)), encoding="utf-8")
    scratch.replace(path)


def _scrub(lake: Lake, site: Site, asked: Plan) -> dict[str, Any]:
    wanted = [base64.b64decode(text) for text in asked.needles]
    names = [sample_id.encode() for sample_id in asked.sample_ids]
    folder = site.home.resolve() / "reports"
    pages, counted = derived_files.pages(lake, folder, asked.superseded, [*wanted, *names])
    windows = sorted({(body["problem"], body["window"]) for body in counted})
    return {
        "frames": derived_files.frames(site.home, erasure.readable(lake)),
        "predictions": derived_files.predictions(site.home, asked.sample_ids),
        "pages": pages,
        "pages_elsewhere": sum(starmap(site.drop_page, windows)),
        "redraw": [derived_files.to_redraw(body) for body in counted],
        "inbox": sum(each.remove_copies(asked.sample_ids) for each in site.incoming()),
    }


def _prove(lake: Lake, site: Site, asked: Plan, removed: Mapping[str, Any], path: Path) -> Erased:
    """Read every surviving release, and search every file for what should be gone."""
    survivors, current = proof.read_survivors(lake)
    kept = erasure.group_names(lake, asked.sample_ids)
    pixels = [base64.b64decode(text) for text in asked.needles]
    texts = [sample_id.encode() for sample_id in asked.sample_ids if sample_id not in kept]
    return Erased(
        run=asked.run,
        sample_ids=asked.sample_ids,
        superseded=asked.superseded,
        contents=asked.contents,
        readable=sorted(erasure.readable(lake)),
        current=current,
        verified=survivors,
        searched=len(pixels) + len(texts),
        found=proof.search(lake, site, path, pixels, texts),
        kept_as_group=sorted(kept),
        removed=removed,
    )
