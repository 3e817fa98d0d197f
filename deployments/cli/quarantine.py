"""Verbs about files that were not let in: list, show, release, discard."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments import console
from deployments.console import Json, LakeUri, Problem
from neuro import limits
from neuro.problems import problem as problems

app = typer.Typer()
quarantine_app = typer.Typer(no_args_is_help=True, help="Files that were not let in.")
app.add_typer(quarantine_app, name="quarantine")

Digest = Annotated[str, typer.Argument(help="SHA-256 of the file, or its beginning.")]
Digests = Annotated[list[str], typer.Argument(help="SHA-256 of the file, or its beginning.")]
Who = Annotated[str, typer.Option(help="Who decides.")]


@quarantine_app.command("list")
def quarantine_list(
    reason: Annotated[str | None, typer.Option(help="Only this reason code.")] = None,
    decided: Annotated[bool, typer.Option("--decided", help="What was decided instead.")] = False,
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List the files that wait for a person, each with its reason; or the decisions.

    Example: neuro quarantine list --reason label_conflict --problem brain
    """
    from neuro.lake import quarantine

    where, dataset = console.open_lake(lake), problems.load(problem).dataset
    done = {entry.key: entry for entry in quarantine.decisions(where, dataset)}
    if decided:
        rows = [
            {"at": entry.at.isoformat(timespec="seconds"), **entry.body}
            for entry in done.values()
            if reason in (None, entry.body["reason"])
        ]
        console.show(rows, as_json=as_json, title=f"{len(rows)} decided")
        return
    shown = ("sha256", "reason", "label", "message", "stage", "source_name")
    rows = [
        {name: getattr(row, name) for name in shown}
        | {"unfinished": _unfinished(done.get(f"{quarantine.KIND}/{row.key}"))}
        for row in quarantine.waiting(where, dataset, reason)
    ]
    console.show(rows, as_json=as_json, title=f"{len(rows)} in quarantine")


@quarantine_app.command("show")
def quarantine_show(
    digest: Digest,
    out: Annotated[
        Path | None, typer.Option(help="Write the bytes as they came to this file; untrusted.")
    ] = None,
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Show what is known of one file; of a conflict, both labels and both samples.

    Example: neuro quarantine show 3f9a01c2 --out look.jpg
    """
    from neuro.ingest import quarantine_decisions
    from neuro.lake import quarantine

    where = console.open_lake(lake)
    facts = quarantine_decisions.facts(where, problems.load(problem).dataset, digest)
    if out is not None:
        raw = quarantine.raw(where, quarantine.find(where, facts["dataset"], digest)[0])
        with limits.writing(out), out.open("xb") as stream:  # never over a file that is there
            stream.write(raw)
    console.show(facts, as_json=as_json, title="quarantine")


@quarantine_app.command("release")
def quarantine_release(
    digests: Digests,
    who: Who,
    label: Annotated[str, typer.Option(help="Which label is right; a conflict needs it.")] = "",
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Let files in after all, as a new release; what vetting refused must pass it now.

    Example: neuro quarantine release 3f9a01c2 --label glioma --who "A. Reader"
    """
    from neuro.images import sandbox
    from neuro.ingest import quarantine_decisions

    where, question = console.open_lake(lake), problems.load(problem)
    asked = quarantine_decisions.Admission(digests=tuple(digests), who=who, label=label)
    vet, now = partial(sandbox.check_files, config=sandbox.VetConfig()), datetime.now(UTC)
    made, done = where.insist(
        "release", lambda: quarantine_decisions.release(where, question, asked, vet, now)
    )
    facts = {"release": made.name, "content_hash": made.content_hash, "released": list(done)}
    console.show(facts, as_json=as_json, title="released")


@quarantine_app.command("discard")
def quarantine_discard(
    digests: Digests,
    who: Who,
    reason: Annotated[str, typer.Option(help="Why; it is kept. Name no patient.")],
    problem: Problem = "brain",
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Let files go: their bytes are removed, the decision stays.

    Example: neuro quarantine discard 3f9a01c2 --who "A. Reader" --reason "a scanned letter"
    """
    from neuro.ingest import quarantine_decisions
    from neuro.lake.quarantine import Decision

    where, dataset = console.open_lake(lake), problems.load(problem).dataset
    decision, now = Decision(action="discard", who=who, label="", why=reason), datetime.now(UTC)
    done = where.insist(
        "discard", lambda: quarantine_decisions.discard(where, dataset, digests, decision, now)
    )
    console.show({"discarded": list(done)}, as_json=as_json, title="discarded")


def _unfinished(entry: Any) -> str:
    if entry is None:
        return ""
    body = entry.body
    label = f" --label {body['label']}" if body["label"] else ""
    return f"{body['action']} by {body['who']} was cut short; run it again{label}"
