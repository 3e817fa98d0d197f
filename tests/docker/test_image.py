"""What docker/Dockerfile names is there, and what its image starts is a command."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import typer

from deployments.cli.app import app
from deployments.stack.worker import WorkerConfig

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
LET_IN = {
    line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
}


def copied() -> list[str]:
    """Sources of every COPY, with the defaults of the build's arguments."""
    defaults = dict(re.findall(r"^ARG (\w+)=(.*)$", DOCKERFILE, re.MULTILINE))
    text = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], DOCKERFILE)
    lines = re.findall(r"^COPY (.+)$", text, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_the_image_copies_is_there_and_is_let_into_the_build() -> None:
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(Path(source).match(pattern) for pattern in LET_IN), source


def test_the_image_holds_every_package_of_the_project() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {pattern.rstrip("*") for pattern in settings["packages"]["find"]["include"]}
    assert packages <= set(copied())


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_starts_a_worker_for_its_device(target: str) -> None:
    stage = re.search(rf"^FROM worker AS {target}$(.*?)(?=^FROM|\Z)", DOCKERFILE, re.M | re.S)
    entry = re.search(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    assert stage
    assert entry
    command = re.search(r"^CMD (.+)$", stage[1], re.MULTILINE)
    assert command
    program, verb, *given = json.loads(entry[1]) + json.loads(command[1])
    assert (program, verb) == ("neuro", "worker")
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    parsed = group.commands[verb].make_context(verb, given).params
    assert WorkerConfig(device=parsed["device"], pool=parsed["pool"]).device == target
