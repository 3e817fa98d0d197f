"""Verbs about data: problem, ingest, labels."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from deployments import console
from deployments.console import BranchName, Json, LakeUri, Local, Problem
from neuro.problems import problem as problems

Follow = Annotated[
    list[str] | None,
    typer.Option(metavar="DIR", help="Follow links that lead into this folder, too; repeatable."),
]

app = typer.Typer()
problem_app = typer.Typer(no_args_is_help=True, help="The questions neuro can be asked.")
labels_app = typer.Typer(no_args_is_help=True, help="Labels that arrive later.")
app.add_typer(problem_app, name="problem")
app.add_typer(labels_app, name="labels")


@problem_app.command("list")
def problem_list(as_json: Json = False) -> None:
    """List the built-in problems.

    Example: neuro problem list
    """
    rows = [
        {"problem": p.name, "dataset": p.dataset, "classes": ", ".join(p.classes)}
        for p in map(problems.load, problems.builtin_names())
    ]
    console.show(rows, as_json=as_json)


@problem_app.command("show")
def problem_show(name: str, as_json: Json = False) -> None:
    """Show one problem, built in or from a file; also a way to check a file.

    Example: neuro problem show brain
    """
    console.show(asdict(problems.load(name)), as_json=as_json)


@problem_app.command("init")
def problem_init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds the images.")],
    out: Annotated[Path | None, typer.Option(help="File to write (default: NAME.toml).")] = None,
    follow: Follow = None,
    as_json: Json = False,
) -> None:
    """Draft the problem file of your own folder, and say what could not be told from it.

    Example: neuro problem init ~/scans/wrist --out wrist.toml
    """
    from neuro.drafting import draft_problem

    drafted = draft_problem.draft(folder, follow or ())
    path = out or Path(f"{drafted.problem.name}.toml")
    draft_problem.write(drafted, path)
    facts = {"path": str(path), "problem": asdict(drafted.problem), "inferred": drafted.inferred}
    if as_json:
        console.show(facts | {"not_inferred": drafted.not_inferred}, as_json=True)
        return
    console.show({"path": str(path), **drafted.inferred}, as_json=False, title="problem init")
    console.say("It could not tell, and you should (the file says it, too):")
    for point in drafted.not_inferred:
        console.say(f"  - {point}")


@app.command()
def ingest(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(help="Folder, zip, tar, single file or s3:// (default: the inbox)."),
    ] = None,
    problem: Problem = "brain",
    branch: BranchName = None,
    landing: Annotated[
        str | None,
        typer.Option(help="Copy originals to this folder or s3:// (default: NEURO_LANDING)."),
    ] = None,
    follow: Follow = None,
    lake: LakeUri = None,
    local: Local = False,
    as_json: Json = False,
) -> None:
    """Vet images from a folder, an archive, a bucket or the inbox, and release them.

    Example: neuro ingest ~/scans/2026-11 --problem brain
    """
    console.run_flow(
        context,
        as_json=as_json,
        is_local=local,
        follow=[os.path.realpath(place) for place in follow or ()],
        source=_absolute(source),
        landing=_absolute(landing),
    )


def _absolute(place: str | None) -> str | None:
    """A path made absolute, as a flow may run in another folder; an address is no path."""
    return os.path.realpath(place) if place and "://" not in place else place


@labels_app.command("waiting")
def labels_waiting(problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False) -> None:
    """List labels that people gave to the service, which wait for a review.

    `neuro worklist fill` puts them on the work list, where readers decide them in the reading room;
    what a reviewer agrees with can also be imported, with `neuro labels import`.

    Example: neuro labels waiting --problem brain
    """
    from neuro.lake import labels

    rows = [
        {
            "sample": row["sha256"],
            "label": row["label"],
            "who": row["who"],
            "when": row["labelled_at"].isoformat(timespec="seconds"),
        }
        for row in labels.waiting(console.open_lake(lake), problems.load(problem).dataset)
    ]
    console.show(rows, as_json=as_json, title="labels waiting")


@labels_app.command("publish")
def labels_publish(problem: Problem = "brain", lake: LakeUri = None, as_json: Json = False) -> None:
    """Make a release that has the labels which readers of the work list have decided.

    An ingest or an import of labels has them, too; this is for when neither is at hand.

    Example: neuro labels publish --problem brain
    """
    from neuro.ingest import late_labels
    from tasks.record import journals

    question, store = problems.load(problem), console.open_lake(lake)
    now = datetime.now(UTC)
    made = store.insist("publish", lambda: late_labels.publish_decided(store, question, now))
    journals.export_head(store, made.name)
    facts = {"release": made.name, "content_hash": made.content_hash, "parent": made.parent}
    console.show(facts, as_json=as_json, title="labels publish")


@labels_app.command("import")
def labels_import(
    file: Path,
    problem: Problem = "brain",
    branch: BranchName = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Append labels from a CSV (sample, label, who, when) and make a release that has them.

    Example: neuro labels import reviewed.csv --problem brain
    """
    from neuro.ingest import late_labels
    from tasks.load import release_data
    from tasks.record import journals

    question, now = problems.load(problem), datetime.now(UTC)
    store = release_data.open_branch(lake, question, branch)
    done = store.insist("import", lambda: late_labels.import_file(store, question, file, now))
    journals.export_head(store, done.release.name)
    facts = {
        "release": done.release.name,
        "content_hash": done.release.content_hash,
        "seen": done.seen,
        "added": done.added,
        "unchanged": done.unchanged,
    }
    console.show(facts, as_json=as_json, title="labels")
