"""Verbs about keys: list, show, add, remove, create, sign."""

from pathlib import Path
from typing import Annotated

import typer

from deployments import console
from deployments.console import Json, Problem

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="Whose signatures are believed here.")
app.add_typer(keys, name="keys")


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys that are believed, and which one signs here.

    Example: neuro keys list
    """
    from neuro import signing
    from tasks.record import signing_keys

    folder = signing_keys.folder()
    own = signing.own_id(folder)
    rows = [{"key": key, "signs_here": key == own} for key in signing.trusted(folder)]
    console.show(rows, as_json=as_json, title="keys")


@keys.command()
def show(as_json: Json = False) -> None:
    """Print the public key of this installation, which another one can add.

    Example: neuro keys show > hospital-a.pub
    """
    from neuro import signing
    from tasks.record import signing_keys

    signing.ensure(signing_keys.folder())
    pem = signing.public_pem(signing_keys.folder())
    if as_json:
        console.show({"key": signing.own_id(signing_keys.folder()), "pem": pem}, as_json=True)
    else:
        typer.echo(pem, nl=False)


@keys.command()
def add(
    file: Annotated[Path, typer.Argument(help="A public key, as `neuro keys show` prints it.")],
    as_json: Json = False,
) -> None:
    """Believe what another installation signs: its models, and heads of its journal.

    Example: neuro keys add hospital-a.pub
    """
    from neuro import limits, signing
    from tasks.record import signing_keys

    pem = limits.bytes_of(file, f"public key {file}")
    key = signing.trust(signing_keys.folder(), pem, str(file))
    console.show({"key": key}, as_json=as_json, title="keys add")


@keys.command()
def remove(key: Annotated[str, typer.Argument(help="Its id.")], as_json: Json = False) -> None:
    """No longer believe a key; what it has signed is refused from now on.

    Example: neuro keys remove 3f2a9c1b7d604e58
    """
    from neuro import signing
    from tasks.record import signing_keys

    signing.distrust(signing_keys.folder(), key)
    console.show({"removed": key}, as_json=as_json, title="keys remove")


@keys.command()
def create(as_json: Json = False) -> None:
    """Make a new signing key; what an older key has signed stays believed until it is removed.

    Move the old signing.pem away first. If somebody else may know it, remove its id, and sign
    again what you still believe.

    Example: neuro keys create
    """
    from neuro import signing
    from tasks.record import signing_keys

    console.show({"key": signing.create(signing_keys.folder())}, as_json=as_json, title="keys")


@keys.command()
def sign(
    version: Annotated[str, typer.Argument(help="A version number of the registry.")],
    problem: Problem = "brain",
    as_json: Json = False,
) -> None:
    """Vouch for a version that is not signed: one of an earlier neuro, or of another machine.

    Example: neuro keys sign 3 --problem brain
    """
    from neuro.problems import problem as problems
    from tasks.record import registry

    with console.only_results_on_stdout():
        signed = registry.sign(registry.find(problems.load(problem).name, version))
    facts = {"version": version, "package": signed.digest, "key": signed.signature.key}
    console.show(facts, as_json=as_json, title="keys sign")
