"""Verbs about the lake itself: its version, and its migration."""

from typing import Annotated

import typer

from deployments import console
from deployments.console import Json, LakeUri

app = typer.Typer()
lake_app = typer.Typer(no_args_is_help=True, help="The lake itself: its version.")
app.add_typer(lake_app, name="lake")


@lake_app.command("migrate")
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Say what would change, and change nothing.")
    ] = False,
    lake: LakeUri = None,
    as_json: Json = False,
) -> None:
    """Bring a lake of an older version to this one's; with --check, exit code 3 if it has to be.

    The first write does the same by itself. Example: neuro lake migrate --check
    """
    from neuro.errors import UnknownNameError
    from neuro.lake import migration

    where = console.open_lake(lake)
    if not where.has("releases"):
        raise UnknownNameError(f"no lake lies in {where.uri}; make one with `neuro ingest DIR`")
    before, newest = where.version, migration.newest()
    if check:
        changes = migration.changes(where)
    else:
        console.start_logging()
        where.require_safe()
        changes = migration.migrate(where)
    facts = {
        "lake": where.uri,
        "version": before if check else newest,
        "newest": newest,
        "changes": [change.says for change in changes],
    }
    console.show(facts, as_json=as_json, title="would change" if check else "migrated")
    if check and before != newest:
        raise typer.Exit(3)
