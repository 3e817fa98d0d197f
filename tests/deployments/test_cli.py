"""The command line: bad requests end with one message, a remedy and the promised exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuro import problem as problems


def neuro(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NEURO_", "PREFECT_"))}
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        cwd=cwd,
        env=environment | {"COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    done = neuro("problem", "list", "--json", cwd=tmp_path)
    assert [row["problem"] for row in json.loads(done.stdout)] == problems.builtin_names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["problem", "show", "brian"], "did you mean 'brain'"),
        (["train", "--model", "resnet_smal", "--local"], "resnet_small"),
        (["train", "--epochs", "0", "--local"], "epochs must be"),
        (["releases", "--problem", "missing.toml"], "missing.toml does not exist"),
        (["passport"], "neuro ingest"),
        (["diff", "brain-0001-00000000"], "neuro ingest"),
        (["export", "current", "out", "--size-px", "128"], "needs --preprocessed"),
        (["branch", "create", "a/b"], "letters, digits"),
        (["branch", "drop", "trial"], "neuro branch create trial"),
        (["erase", "--reason", "x", "--local"], "either --group or --sample"),
        (["ingest", "nowhere", "--local"], "is no folder"),
        (["demo", "--data", "nowhere"], "nowhere is no folder"),
        (["demo"], "prefect.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_request_names_the_remedy_and_ends_with_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = neuro(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_class_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "scans" / "gliomas").mkdir(parents=True)
    (tmp_path / "scans" / "gliomas" / "a.png").write_bytes(b"x")
    done = neuro("ingest", "scans", "--local", cwd=tmp_path)
    assert done.returncode == 2
    assert "'gliomas'" in done.stderr


def test_without_a_server_the_message_says_how_to_start_one(tmp_path: Path) -> None:
    done = neuro("drift", cwd=tmp_path)
    assert done.returncode == 1
    assert "neuro up" in done.stderr
    assert "--local" in done.stderr


def test_status_without_a_stack_is_a_no(tmp_path: Path) -> None:
    assert neuro("status", cwd=tmp_path).returncode == 3


def test_nothing_is_left_behind_by_a_refused_command(tmp_path: Path) -> None:
    neuro("passport", cwd=tmp_path)
    neuro("drift", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
