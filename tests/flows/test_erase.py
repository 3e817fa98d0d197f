"""An erasure of an image that datasets of one's own hold, each under a digest of its own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.ingest import ingest
from neuro.errors import ConfigError
from neuro.lake import releases
from neuro.lake.lake import Lake
from tests.flows.conftest import LABELS, Draw

BRAIN = Path("neuro/problems/builtin/brain.toml")


def problem_file(folder: Path, name: str) -> str:
    path = folder / f"{name}.toml"
    text = BRAIN.read_text("utf-8")
    for key in ("name", "dataset"):
        text = text.replace(f'{key} = "brain"', f'{key} = "{name}"')
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("which", ["ours", "theirs"])
def test_a_picture_that_two_datasets_of_ones_own_hold_is_erased_from_either(
    home: Path, draw: Draw, tmp_path: Path, which: str
) -> None:
    files = {name: problem_file(tmp_path, name) for name in ("ours", "theirs")}
    ours = draw(LABELS, 2, name="first")
    theirs = draw(LABELS, 2, name="second", seed=1)
    picture = next(ours.rglob("*.png"))
    (theirs / "glioma" / "again.png").write_bytes(picture.read_bytes() + b"\0")
    for folder, name in ((ours, "ours"), (theirs, "theirs")):
        ingest.fn(source=str(folder), problem=files[name])
    lake = Lake(str(home / "lake"))
    before = {name: releases.find(lake, name).n for name in files}
    sample = picture.relative_to(ours) if which == "ours" else Path("glioma/again.png")
    (other,) = files.keys() - {which}
    words = ["erase", "--problem", files[which], "--sample", str(sample), "--reason", "asked"]

    would = CliRunner().invoke(app, [*words, "--json"])
    shown = json.loads(would.stdout)
    assert (would.exit_code, len(shown["samples"]), len(shown["copies"])) == (3, 2, 1)
    refused = CliRunner().invoke(app, [*words, "--yes", "--local"])
    assert isinstance(refused.exception, ConfigError)
    assert "--also FILE" in str(refused.exception)
    done = CliRunner().invoke(app, [*words, "--yes", "--local", "--json", "--also", files[other]])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["is_proven"], told["copies"]) == (0, True, shown["copies"])
    assert {name: releases.find(lake, name).n for name in files} == {
        name: n - 1 for name, n in before.items()
    }
