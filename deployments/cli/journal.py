"""Verbs about the journal: list, verify, export."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deployments import console
from deployments.console import Json, LakeUri

COLUMNS = ("number", "at", "kind", "key", "decision", "who", "reason")  # that a table shows

app = typer.Typer()
journal = typer.Typer(no_args_is_help=True, help="What was decided, claimed, looked at or judged.")
app.add_typer(journal, name="journal")


@journal.command("list")
def list_lines(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="claim, failed, look, verdict, response, decision, approval, rollback, alias, "
            "lock, acceptance, quarantine, landing, erasure, lift, incident, incident owner or "
            "incident end (default: all)."
        ),
    ] = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """List the lines, in the order they were written.

    Example: neuro journal list decision --json
    """
    from neuro.lake import journal as lines

    found = lines.entries(console.open_lake(lake), *filter(None, [kind]))
    rows = [
        {
            "number": entry.number,
            "at": entry.at.isoformat(timespec="seconds"),
            "kind": entry.kind,
            "key": entry.key.removeprefix(f"{entry.kind}/"),
            **entry.body,
        }
        for entry in found
    ]
    console.show(rows, as_json=as_json, title=kind or "journal", columns=COLUMNS)


@journal.command()
def verify(
    exported: Annotated[
        Path | None, typer.Argument(help="A file of `neuro journal export`, to compare with.")
    ] = None,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Say whether a line was altered, dropped, moved or written twice; exit code 3 if one was.

    A tail that was cut off is missed back to the last signed head, which each release and each
    change of the champion keeps beside the lake and in the home.

    Example: neuro journal verify --json
    """
    from tasks.record import journals

    found = journals.verify(console.open_lake(lake), exported)
    facts = {
        "ok": found.is_ok,
        "lines": found.head.number,
        "head": found.head.hash,
        "damaged": [asdict(each) for each in found.damaged],
        "heads": found.heads,
        "faults": list(found.faults),
    }
    console.show(facts, as_json=as_json, title="journal verify")
    if not found.is_ok:
        raise typer.Exit(3)


@journal.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write, a line of JSON each.")],
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Write every line and the signed head to a file, to be kept elsewhere.

    Example: neuro journal export /backup/journal-2026-12.jsonl
    """
    from tasks.record import journals

    head = journals.export(console.open_lake(lake), file)
    facts = {"file": str(file), "lines": head.number, "head": head.hash, "key": head.signature.key}
    console.show(facts, as_json=as_json, title="journal export")
