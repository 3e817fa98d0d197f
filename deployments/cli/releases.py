"""Verbs about releases: releases, diff, verify, restore, export, branch, erase."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deployments import console
from deployments.console import BranchName, GivenRelease, Json, LakeUri, Local, Problem
from neuro.errors import ConfigError
from neuro.problems import problem as problems

if TYPE_CHECKING:
    from neuro.lake.release_diff import Diff

app = typer.Typer()
branch_app = typer.Typer(no_args_is_help=True, help="Branches of your own: tried, then published.")
app.add_typer(branch_app, name="branch")


@app.command()
def releases(
    problem: Problem = "brain",
    branch: BranchName = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List the releases of a problem's dataset, oldest first.

    Example: neuro releases --problem brain --json
    """
    from neuro.lake import releases as store
    from tasks.load import release_data

    question = problems.load(problem)
    where = release_data.open_branch(lake, question, branch)
    rows = [
        {
            "name": release.name,
            "content_hash": release.content_hash,
            "created_at": release.created_at.isoformat(timespec="seconds"),
            "n": release.n,
            "classes": dict(release.passport["labels"]),
            "parent": release.parent,
            "note": release.note,
            "branch": release.branch,
            "superseded_by": release.superseded_by,
            "tables": dict(release.tables),
        }
        for release in store.history(where, question.dataset)
    ]
    short = ("name", "created_at", "n", "note", "branch", "superseded_by")
    console.show(rows, as_json=as_json, columns=short)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="Release to compare from.")],
    second: Annotated[str | None, typer.Argument(help="And to (default: current).")] = None,
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Say what one release has that another has not; with --json, name every sample.

    Example: neuro diff brain-0001-3f2a9c1b brain-0002-77d01e4a --problem brain
    """
    from neuro.lake import release_diff, releases

    where, dataset = console.open_lake(lake), problems.load(problem).dataset
    old, new = (releases.find(where, dataset, name) for name in (first, second))
    _show_diff(release_diff.diff(where, old, new), old.name, new.name, as_json=as_json)


def _show_diff(found: "Diff", old: str, new: str, *, as_json: bool) -> None:
    lists: dict[str, list[Any]] = {
        "added": list(found.added),
        "removed": list(found.removed),
        "relabelled": _changes(found.relabelled),
        "moved": _changes(found.moved),
    }
    counts = {name: len(values) for name, values in lists.items()}
    facts = {"counts": counts, **lists} if as_json else counts
    console.show({"from": old, "to": new, **facts}, as_json=as_json, title="diff")


def _changes(changed: Mapping[str, tuple[str, str]]) -> list[dict[str, str]]:
    return [{"sha256": k, "from": before, "to": now} for k, (before, now) in changed.items()]


@app.command()
def verify(
    release: GivenRelease = None,
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Check every stored byte of a release against its digest; exit code 3 on damage.

    Example: neuro verify --problem brain
    """
    from neuro.lake import images
    from neuro.lake import releases as store

    where = console.open_lake(lake)
    found = store.find(where, problems.load(problem).dataset, release)
    samples = store.samples(where, found)
    damaged = images.damaged(where, found, samples)
    facts = {"release": found.name, "checked": len(samples), "damaged": damaged}
    console.show(facts | {"ok": not damaged}, as_json=as_json, title="verify")
    if damaged:
        raise typer.Exit(3)


@app.command()
def restore(
    release: Annotated[str, typer.Argument(help="Release to make current again.")],
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Make the content of an older release current again, by a new release.

    Example: neuro restore brain-0001-3f2a9c1b --problem brain
    """
    from neuro.lake import release_diff, releases
    from tasks.record import journals

    where, dataset = console.open_lake(lake), problems.load(problem).dataset
    old = releases.find(where, dataset, release)
    made = where.insist("restore", lambda: release_diff.restore(where, old, datetime.now(UTC)))
    journals.export_head(where, made.name)
    facts = {"release": made.name, "content_hash": made.content_hash, "restored": old.name}
    console.show(facts | {"n": made.n, "parent": made.parent}, as_json=as_json, title="restore")


@app.command()
def export(
    release: Annotated[str, typer.Argument(help="Release, or 'current'.")],
    folder: Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix, empty or new.")],
    problem: Problem = "brain",
    preprocessed: Annotated[
        bool, typer.Option("--preprocessed", help="Arrays (.npy, float32) as a model gets them.")
    ] = False,
    size_px: Annotated[int | None, typer.Option(help="Side, instead of the problem's own.")] = None,
    intensity: Annotated[
        Literal["unit", "standard"] | None,
        typer.Option(help="unit: 0..1. standard: mean 0, deviation 1."),
    ] = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Write a release as plain files with a manifest and a Croissant description.

    Example: neuro export current ~/brain-128 --preprocessed --size-px 128 --intensity unit
    """
    from neuro.export import croissant
    from neuro.lake import releases
    from tasks.load import release_data

    given = {"size_px": size_px, "intensity": intensity}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if asked and not preprocessed:
        raise ConfigError(f"--{next(iter(asked)).replace('_', '-')} needs --preprocessed")
    question, where = problems.load(problem), console.open_lake(lake)
    found = releases.find(where, question.dataset, None if release == "current" else release)
    spec = replace(question.preprocess, **asked) if preprocessed else None
    done = croissant.export(where, question, found, release_data.open_store(folder), spec)
    facts = {
        "release": found.name,
        "folder": done.where,
        "n": done.n,
        "manifest_sha256": done.manifest_sha256,
        "preprocess_hash": spec.sha256 if spec else "",
    }
    console.show(facts, as_json=as_json, title="export")


@branch_app.command("create")
def branch_create(
    name: str, problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False
) -> None:
    """Begin a branch at the current release; ingest and labels import take it as --branch.

    Example: neuro branch create trial --problem brain
    """
    from neuro.lake import branches

    made = branches.create(console.open_lake(lake), problems.load(problem).dataset, name)
    console.show({"branch": name, "base": made.base.name}, as_json=as_json, title="branch")


@branch_app.command("list")
def branch_list(problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False) -> None:
    """List the branches of a problem's dataset.

    Example: neuro branch list --problem brain
    """
    from neuro.lake import branches

    where, dataset, rows = console.open_lake(lake), problems.load(problem).dataset, []
    for name in branches.names(where, dataset):
        base, head = "", "half removed; drop it again"
        if (dataset, name) not in branches.half_removed(where):
            found = branches.find(where, dataset, name)
            base, head = found.base.name, found.head.name
        rows.append({"branch": name, "base": base, "head": head})
    console.show(rows, as_json=as_json, title=f"{len(rows)} branches")


@branch_app.command("diff")
def branch_diff(
    name: str, problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False
) -> None:
    """Say what a branch has that main's current release has not.

    Example: neuro branch diff trial --problem brain
    """
    from neuro.lake import branches, release_diff, releases

    where, dataset = console.open_lake(lake), problems.load(problem).dataset
    head, main = branches.find(where, dataset, name).head, releases.find(where, dataset)
    _show_diff(release_diff.diff(where, main, head), main.name, head.name, as_json=as_json)


@branch_app.command("publish")
def branch_publish(
    name: str, problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False
) -> None:
    """Audit a branch, merge it into main as one release, and remove it.

    Example: neuro branch publish trial --problem brain
    """
    from neuro.ingest import merge_branch
    from tasks.record import journals

    question, where, now = problems.load(problem), console.open_lake(lake), datetime.now(UTC)
    made = where.insist("publish", lambda: merge_branch.publish(where, question, name, now))
    journals.export_head(where, made.name)
    facts = {"branch": name, "release": made.name, "content_hash": made.content_hash}
    console.show(facts | {"n": made.n, "parent": made.parent}, as_json=as_json, title="published")


@branch_app.command("drop")
def branch_drop(
    name: str, problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False
) -> None:
    """Remove a branch and everything that it alone holds.

    Example: neuro branch drop trial --problem brain
    """
    from neuro.lake import branches

    branches.drop(console.open_lake(lake), problems.load(problem).dataset, name)
    console.show({"branch": name, "dropped": True}, as_json=as_json, title="dropped")


@app.command()
def erase(
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")],
    group: Annotated[str, typer.Option(help="A group's digest, or a patient's id.")] = "",
    sample: Annotated[str, typer.Option(help="A sample's digest or source name.")] = "",
    who: Annotated[str, typer.Option(help="Who decided it (default: your account).")] = "",
    also: Annotated[
        list[str] | None,
        typer.Option(help="Problem file of another dataset that holds one of the images."),
    ] = None,
    lift: Annotated[
        str, typer.Option(help="Digest of an erased image that may be delivered again.")
    ] = "",
    problem: Problem = "brain",
    yes: Annotated[bool, typer.Option("--yes", help="Do it. There is no way back.")] = False,
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Erase images everywhere and prove it; without --yes, say what would go (exit code 3).

    Example: neuro erase --sample 9f2c41d07a55e3b8 --reason "consent withdrawn" --yes
    """
    from neuro.erasure import erase as erasing
    from neuro.lake import tombstones
    from tasks.runtime import settings

    who = who or settings.user()
    if lift:
        if group or sample:
            raise ConfigError("--lift takes an erasure back for the future; it goes alone")
        lifted = tombstones.lift(console.open_lake(lake), lift, reason, who, datetime.now(UTC))
        console.show({"lifted": lifted}, as_json=as_json, title="erase")
        return
    named = {"group": group, "sample": sample, "reason": reason, "who": who}
    if not yes:
        asked = erasing.ErasureRequest(problem=problems.load(problem), **named)
        plan = erasing.preview(console.open_lake(lake), asked, settings.load().home)
        facts = {
            "samples": list(plan.sample_ids),
            "copies": list(plan.copies),
            "superseded": list(plan.superseded),
        }
        console.show(facts, as_json=as_json, title="would be erased")
        console.say("nothing was erased; add --yes to do it")
        raise typer.Exit(3)

    result = console.call("erase", is_local=local, problem=problem, lake=lake, also=also, **named)
    console.show(result, as_json=as_json, title="erase")
    if not result["is_proven"]:
        raise typer.Exit(1)
