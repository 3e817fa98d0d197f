"""Verbs about asking: serve, and users add, remove, list, token."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from deployments import console
from deployments.console import Json, LakeUri

app = typer.Typer()
users = typer.Typer(no_args_is_help=True, help="Who may ask the service, and do what.")
app.add_typer(users, name="users")

UserName = Annotated[str, typer.Argument(help="Letters, digits and . _ @ -")]


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Default: 8000, or the next free.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A token of your own lies there, or is made (default: in the home)."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="A package folder (default: every problem's champion)."),
    ] = None,
    problem: Annotated[
        list[str] | None,
        typer.Option("--problem", "-p", help="A problem file that is not built in."),
    ] = None,
    shadow: Annotated[
        str, typer.Option(help="What answers beside, unseen: an alias, a number or a folder.")
    ] = "",
    engine: Annotated[
        str, typer.Option(help="onnxruntime, openvino, torch, or auto for the fastest here.")
    ] = "auto",
    rate: Annotated[str, typer.Option(help="Requests of one person.")] = "1200/minute",
    lake: LakeUri = None,
) -> None:
    """Answer images over HTTP on this machine, until Ctrl-C.

    Example: neuro serve --port 8000
    """
    from deployments.service import serve as serving
    from deployments.service.config import ServiceConfig

    config = ServiceConfig(
        models=model or (),
        problems=problem or (),
        shadow=shadow,
        engine=engine,
        rate=rate,
        token_file=token_file,
        lake=lake,
        port=port,
    )
    console.start_logging()
    with console.only_results_on_stdout():
        serving.run(config, console.say)


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """List people, their roles, and how they sign in.

    Example: neuro users list
    """
    from neuro import people

    rows = [
        {
            "name": each.name,
            "role": each.role,
            "tokens": len(each.tokens),
            "has_password": bool(each.password),
        }
        for each in people.read(_file()).values()
    ]
    console.show(rows, as_json=as_json, title="users")


@users.command()
def add(
    name: UserName,
    role: Annotated[
        str, typer.Option(help="viewer, reader, trainer, approver or admin.")
    ] = "reader",
    password: Annotated[
        bool, typer.Option("--password", help="Ask for one, or read it from stdin.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a person ask, and print a token for their programs, which is shown this once.

    Example: neuro users add ana --role reader
    """
    from neuro import people

    people.require_new(_file(), name)
    if password:
        people.add(_file(), name, role, hashed=people.hashed(_password()))
    else:
        people.add(_file(), name, role)
    facts = {"name": name, "role": role, "token": people.new_token(_file(), name)}
    console.show(facts, as_json=as_json, title="users add")


@users.command()
def remove(name: UserName, as_json: Json = False) -> None:
    """Let a person ask nothing any more, from now on.

    Example: neuro users remove ana
    """
    from neuro import people

    people.remove(_file(), name)
    console.show({"removed": name}, as_json=as_json, title="users remove")


@users.command()
def token(
    name: UserName,
    end_others: Annotated[
        bool, typer.Option("--end-others", help="End the tokens they have.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print another token of a person, which is shown this once.

    Example: neuro users token ana --end-others
    """
    from neuro import people

    ended = people.drop_tokens(_file(), name) if end_others else 0
    facts = {"name": name, "token": people.new_token(_file(), name), "ended": ended}
    console.show(facts, as_json=as_json, title="users token")


def _file() -> Path:
    from tasks.runtime import settings

    return settings.load().home / settings.PEOPLE


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\n")
