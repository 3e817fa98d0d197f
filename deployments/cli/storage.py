"""Verbs about object stores: check whether one can be trusted, and make a bucket."""

from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Annotated

import typer

from deployments import console
from deployments.console import Endpoint, Json
from neuro.errors import ConfigError

if TYPE_CHECKING:
    from neuro.storage import location
    from neuro.storage.bucket_setup import Rule

app = typer.Typer()
bucket_app = typer.Typer(no_args_is_help=True, help="Buckets and who may do what in them.")
app.add_typer(bucket_app, name="bucket")

ROLES = ("reader", "ingester", "trainer", "lander", "admin")

Place = Annotated[str, typer.Argument(help="s3://bucket/prefix of the lake.")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="ROLE=USER, again for each; a user is a name or an ARN."),
]
KeepVersions = Annotated[
    int, typer.Option(help="Days that replaced and deleted objects stay; 0: no versions.")
]
Retention = Annotated[
    int, typer.Option(help="Days after which objects below a landing prefix go; 0: they stay.")
]


@app.command()
def check(place: Place, endpoint: Endpoint = None, as_json: Json = False) -> None:
    """Test whether an S3 server can be trusted with a lake; exit code 3 if not.

    Writes below PLACE/_probe/ and removes it again. Example: neuro check s3://images/lake
    """
    from neuro.storage import conformance

    where = _located(place, endpoint)
    results = conformance.check(where)
    is_trusted = all(result.is_ok for result in results if result.is_needed)
    if as_json:
        facts = {"place": where.uri, "endpoint": where.endpoint, "trusted": is_trusted}
        console.show(facts | {"tests": list(map(asdict, results))}, as_json=True)
    else:
        rows = [
            {
                "test": result.test,
                "for": result.needed_for,
                "needed": "yes" if result.is_needed else "no",
                "passed": "yes" if result.is_ok else "NO",
                "found": result.detail,
            }
            for result in results
        ]
        verdict = "can be trusted" if is_trusted else "can NOT be trusted"
        console.show(rows, as_json=False, title=f"{where.full_address} {verdict}")
    if not is_trusted:
        raise typer.Exit(3)


@bucket_app.command("create")
def bucket_create(
    place: Place,
    role: Roles = None,
    keep_versions_days: KeepVersions = 0,
    retention_days: Retention = 0,
    endpoint: Endpoint = None,
    as_json: Json = False,
) -> None:
    """Make a bucket with encryption, lifecycle and a policy; exit code 3 if a part was refused.

    Example: neuro bucket create s3://images/lake --role reader=anna --role ingester=inbox
    """
    from neuro.storage import bucket_setup

    where = _located(place, endpoint)
    steps = bucket_setup.create(where, _rules(role or []), keep_versions_days, retention_days)
    rows = list(map(asdict, steps))
    if as_json:
        facts = {"place": where.uri, "endpoint": where.endpoint, "steps": rows}
        console.show(facts, as_json=True)
    else:
        console.show(rows, as_json=False, title=where.full_address)
    if not all(step.is_done for step in steps):
        raise typer.Exit(3)


def _located(place: str, endpoint: str | None) -> "location.Place":
    """The place on the server that is named, or on the one of the settings, with their deadline."""
    from neuro.storage import location
    from tasks.runtime import settings

    console.remember(endpoint)
    here = settings.load()
    return location.parse(place, here.s3_endpoint, here.s3_deadline_s)


def _rules(given: list[str]) -> "list[Rule]":
    from neuro.storage import bucket_setup

    users: dict[str, list[str]] = {}
    for pair in given:
        role, _, user = pair.partition("=")
        if role not in ROLES or not user:
            raise ConfigError(f"--role {pair!r} is no ROLE=USER with one of {', '.join(ROLES)}")
        users.setdefault(role, []).append(user)
    folder = resources.files("deployments") / "policies"
    return [
        bucket_setup.Rule(
            role=role, template=(folder / f"{role}.json").read_text(), users=tuple(named)
        )
        for role, named in users.items()
    ]
