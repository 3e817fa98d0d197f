"""Tables that a person reads in a terminal; programs take --json."""

import json
import os
import subprocess
import sys

import pytest

from deployments import console
from tasks.runtime import settings

ROW = {"sha256": "ab" * 32, "at": "2026-11-25T20:35:44+00:00", "branch": "", "n": 0}


def test_a_list_shows_beginnings_of_digests_and_no_empty_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.show([ROW, ROW], as_json=False)
    shown = capsys.readouterr().out
    assert "abababababab " in shown
    assert "ab" * 7 not in shown
    assert "2026-11-25 20:35 " in shown
    assert "branch" not in shown
    assert " n " in shown


def test_an_empty_list_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    console.show([], as_json=False, title="waiting for approval")
    assert "waiting for approval: none" in capsys.readouterr().err


def test_json_has_all_of_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    console.show([ROW], as_json=True)
    assert json.loads(capsys.readouterr().out) == [ROW]


def test_a_metric_shows_its_interval_and_splits_stand_side_by_side(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metric = {"name": "accuracy", "value": 0.9123, "low": 0.88, "high": 0.94, "n": 9, "groups": 3}
    both = {"train": {"accuracy": metric, "n": 9}, "test": None}
    console.show({"side_by_side": both}, as_json=False)
    shown = capsys.readouterr().out
    assert "train: accuracy 0.912 [0.880, 0.940], n 9" in shown
    assert "test: None" in shown


@pytest.mark.parametrize("name", ["scan[/2024]", "scan[red]", "[labels]", ":brain:", "a[link=x]b"])
def test_nothing_is_read_as_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.show({"folder": name}, as_json=False, title=name)
    console.say(name)
    console.address(name)
    console.error(name)
    shown = capsys.readouterr()
    assert shown.out.count(name) == 2
    assert shown.err.count(name) == 3


def test_a_name_cannot_move_the_cursor_or_colour_the_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a name of bytes that are no text, or of control codes, shows is how it is written."""
    console.error("a\x1b[2Jb\rc\udce9d\ne")
    assert r"a\x1b[2Jb\rc\udce9d" in capsys.readouterr().err


RECORDED = """
import logging
from deployments import console
from neuro.errors import ConfigError

console.start_recorded_logging()
console.start_recorded_logging()
log = logging.getLogger("tasks.ingest")
for error in (ConfigError("name the remedy"), KeyError("a fault of ours")):
    try:
        raise error
    except type(error):
        log.exception("of %s \\x1b[2J", type(error).__name__)
"""


def test_a_recorded_run_prints_no_traceback_of_a_refusal_and_a_fault_of_ours_whole() -> None:
    quiet = os.environ | settings.LOGGING_ENVIRONMENT
    command = [sys.executable, "-c", RECORDED]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0].endswith(r"of KeyError \x1b[2J")
    assert lines[1].startswith("Traceback")
    assert "KeyError: 'a fault of ours'" in lines[-1]
