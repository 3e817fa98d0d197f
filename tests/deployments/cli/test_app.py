"""The command line: bad requests end with one message, a remedy and the promised exit code."""

import inspect
import io
import json
import logging
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from deployments import console
from deployments.cli import app
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from tasks.runtime import settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What a command left: its exit code and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


@contextmanager
def terminal(folder: Path, arguments: Sequence[str]) -> Iterator[None]:
    """The process as a command finds it that is typed in a folder; all is put back afterwards."""
    loggers = [logging.getLogger(name) for name in settings.LOGGERS]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    variables = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["neuro", *arguments])
        try:
            os.environ["COLUMNS"] = "400"
            yield
        finally:
            os.environ.clear()
            os.environ.update(variables)
            for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
                logger.setLevel(level)
                logger.handlers[:] = handlers
                logger.propagate = propagate


def neuro(*arguments: str, cwd: Path) -> Ended:
    """The command in this process, which spares it the seconds of its imports."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with terminal(cwd, arguments), redirect_stdout(out), redirect_stderr(err):
        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def neuro_process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a program of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NEURO_", "PREFECT_"))}
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli.app", *arguments],
        cwd=cwd,
        env=environment | {"COLUMNS": "400", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    done = neuro_process("problem", "list", "--json", cwd=tmp_path)
    assert [row["problem"] for row in json.loads(done.stdout)] == problems.builtin_names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["problem", "show", "brian"], "did you mean 'brain'"),
        (["train", "--model", "resnet_smal", "--local"], "resnet_small"),
        (["train", "--epochs", "0", "--local"], "epochs must be"),
        (["train", "--preset", "fastest", "--local"], "choose one of fast, default, best"),
        (["releases", "--problem", "missing.toml"], "missing.toml does not exist"),
        (["passport"], "neuro ingest"),
        (
            ["journal", "list", "decisions"],
            "did you mean 'decision'? Its kinds are claim, failed, look",
        ),
        (["diff", "brain-0001-00000000"], "neuro ingest"),
        (["export", "current", "out", "--size-px", "128"], "needs --preprocessed"),
        (["branch", "create", "a/b"], "letters, digits"),
        (["branch", "drop", "trial"], "neuro branch create trial"),
        (["erase", "--reason", "x", "--local"], "either --group or --sample"),
        (["erase", "--lift", "9f2c41d0", "--reason", "x"], "neuro journal list erasure"),
        (["erase", "--lift", "9f2c41d0", "--group", "a", "--reason", "x"], "goes alone"),
        (["ingest", "nowhere", "--local"], "is no folder"),
        (["problem", "init", "nowhere"], "is no folder"),
        (["ingest", "https://example.org/in.zip", "--local"], "is no s3:// address"),
        (["demo", "--data", "nowhere"], "nowhere is no folder"),
        (["demo"], "prefect.yaml"),
        (["features", "show", "tumb"], "neuro ingest"),
        (["similar", "9f2c41d07a55e3b8", "-n", "0"], "-n must be 1 to 100"),
        (["similar", "scan.png"], "neuro ingest"),
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


@pytest.mark.parametrize(
    "verb", ["ingest", "evaluate", "promote", "rollback", "accept", "predict", "drift", "retrain"]
)
def test_the_flags_of_a_flow_are_its_parameters(verb: str) -> None:
    flags = {parameter.name for parameter in typer.main.get_command(app.app).commands[verb].params}
    flow = console.load_flow(verb)
    assert flags - console.OWN_FLAGS - {"help"} <= set(inspect.signature(flow.fn).parameters)


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them(
    tmp_path: Path,
) -> None:
    done = neuro_process("train", "--model", "resnet18", "--pretrained", "--local", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "`neuro weights fetch resnet18`" in done.stderr
    assert "timm/resnet18.a1_in1k/resolve" in done.stderr
    assert "Traceback" not in done.stderr


def open_to_others(folder: Path) -> list[str]:
    """What another account may look into."""
    return [str(path) for path in folder.rglob("*") if path.lstat().st_mode & 0o077]


def test_what_is_written_is_for_this_account_alone(tmp_path: Path) -> None:
    """Also where the shell says otherwise: a quarantined file may hold a name."""
    for number, label in enumerate(("glioma", "notumor")):
        (tmp_path / "in" / label).mkdir(parents=True)
        Image.linear_gradient("L").rotate(90 * number).save(tmp_path / "in" / label / "a.png")
    (tmp_path / "in" / "glioma" / "broken.png").write_bytes(b"no picture")
    before = os.umask(0o022)
    try:
        assert neuro("ingest", "in", "--local", cwd=tmp_path).returncode == 0
    finally:
        os.umask(before)
    assert (tmp_path / ".neuro" / "lake" / "quarantine.lance").is_dir()
    assert open_to_others(tmp_path / ".neuro") == []


def test_an_archive_that_points_outside_ends_with_2_and_leaves_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("../../evil.png", b"x")
    done = neuro("ingest", "in.zip", "--local", cwd=tmp_path)
    assert done.returncode == 2
    assert "points outside the archive" in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["in.zip"]


def test_a_problem_is_drafted_once_and_then_refused(tmp_path: Path) -> None:
    for number, label in enumerate(("cyst", "clear")):
        (tmp_path / "wrist" / label).mkdir(parents=True)
        picture = Image.linear_gradient("L").rotate(90 * number)
        picture.save(tmp_path / "wrist" / label / "a.png")
    done = neuro("problem", "init", "wrist", "--json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert set(said) == {"path", "problem", "inferred", "not_inferred"}
    assert problems.load(str(tmp_path / said["path"])).classes == ("clear", "cyst")
    again = neuro("problem", "init", "wrist", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "wrist.toml exists" in again.stderr


def test_what_could_not_be_told_is_said_on_the_terminal(tmp_path: Path) -> None:
    for label in ("cyst", "clear"):
        (tmp_path / "wrist" / label).mkdir(parents=True)
        (tmp_path / "wrist" / label / "a[1].png").write_bytes(b"no image")
    done = neuro("problem", "init", "wrist", "--out", "mine.toml", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("intended_use", "licence", "safety-critical", "no image of the sample"):
        assert word in done.stderr


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


def test_status_without_a_stack_is_a_no_with_every_key(tmp_path: Path) -> None:
    assert neuro("status", cwd=tmp_path).returncode == 3
    done = neuro("status", "--json", cwd=tmp_path)
    assert done.returncode == 3
    assert "neuro up" in done.stderr
    names = ("prefect", "mlflow", "service", "reading_room")
    places = (*names, *(f"{name}_asks_for" for name in names), "lake")
    assert json.loads(done.stdout) == {**dict.fromkeys(places), "alive": {}}


def test_the_help_of_the_journal_names_each_kind(tmp_path: Path) -> None:
    kinds = f"{', '.join(journal.KINDS[:-1])} or {journal.KINDS[-1]} (default: all)."
    assert kinds in " ".join(neuro("journal", "list", "--help", cwd=tmp_path).stdout.split())


def test_lines_of_every_kind_stand_in_one_table(tmp_path: Path) -> None:
    lake, now = Lake(str(tmp_path / ".neuro" / "lake")), datetime.now(UTC)
    journal.record(lake, "look", "brain/own/1", {"problem": "brain", "as_reference": True}, now)
    journal.record(lake, "rollback", "brain/1/2", {"problem": "brain", "who": "ada"}, now)
    rows = neuro("journal", "list", cwd=tmp_path).stdout.splitlines()
    (look,) = [row for row in rows if "brain/own/1" in row]
    (rollback,) = [row for row in rows if "brain/1/2" in row]
    assert "look" in look
    assert "ada" not in look
    assert "ada" in rollback


def test_nothing_is_left_behind_by_a_refused_command(tmp_path: Path) -> None:
    neuro("passport", cwd=tmp_path)
    neuro("drift", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_conflict_is_listed_shown_and_settled(tmp_path: Path) -> None:
    for folder, label in (("one", "glioma"), ("two", "pituitary")):
        (tmp_path / folder / label).mkdir(parents=True)
        noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / folder / label / "a.png")
        assert neuro("ingest", folder, "--local", cwd=tmp_path).returncode == 0
    (row,) = json.loads(neuro("quarantine", "list", "--json", cwd=tmp_path).stdout)
    assert (row["reason"], row["label"]) == ("label_conflict", "pituitary")
    shown = neuro("quarantine", "show", row["sha256"], "--out", "a.bin", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["held"][0]["label"] == "glioma"
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "two/pituitary/a.png").read_bytes()
    for place, told in (("a.bin", "a.bin exists; move it"), ("gone/a.bin", "make the folder gone")):
        refused = neuro("quarantine", "show", row["sha256"], "--out", place, cwd=tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert told in refused.stderr
    choice = ("--label", "pituitary", "--who", "A", "--json")
    done = neuro("quarantine", "release", row["sha256"][:8], *choice, cwd=tmp_path)
    assert json.loads(done.stdout)["released"] == [row["sha256"]]
    assert json.loads(neuro("quarantine", "list", "--json", cwd=tmp_path).stdout) == []
    (entry,) = json.loads(neuro("quarantine", "list", "--decided", "--json", cwd=tmp_path).stdout)
    assert (entry["action"], entry["who"], entry["label"]) == ("release", "A", "pituitary")
