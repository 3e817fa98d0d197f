import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from deployments.stack import processes
from deployments.stack.processes import MARK, Program
from neuro.errors import ServerError

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); "
SLEEP = "import sys, time; sys.stdout.flush(); time.sleep(60)"


def sleeper(mark: str, folder: Path, code: str = "") -> Program:
    return processes.start(
        "sleeper",
        [sys.executable, "-u", "-c", code + SLEEP],
        environment={MARK: mark},
        cwd=folder,
        log=folder / "log",
    )


def wait_for(program: Program, mark: str) -> None:
    end = time.monotonic() + 10  # right after the fork the child still has the parent's environment
    while program.process.pid not in processes.marked(mark) and time.monotonic() < end:
        time.sleep(0.01)


def test_a_program_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    program = sleeper("ignores", tmp_path, STUBBORN)
    while "up" not in (tmp_path / "log").read_text():
        time.sleep(0.01)
    processes.stop("ignores", [program.process.pid], patience_s=0.1)
    assert program.process.wait(5) == -signal.SIGKILL


def test_a_process_that_got_the_number_of_another_is_left_alone(tmp_path: Path) -> None:
    program = sleeper("of somebody else", tmp_path)
    wait_for(program, "of somebody else")
    processes.stop("ours", [program.process.pid], patience_s=0.1)
    assert program.process.poll() is None
    processes.stop("of somebody else", [program.process.pid], patience_s=5)
    assert program.process.wait(5) is not None  # it dies a moment after it lost its mark


def test_what_a_program_started_carries_its_mark(tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
    program = sleeper("family", tmp_path, child)
    end = time.monotonic() + 10
    while len(found := processes.marked("family")) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(found) == 2
    assert program.process.pid in found
    processes.stop("family", found, patience_s=5)
    assert processes.marked("family") == set()


def test_a_program_that_ended_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    program = sleeper("ends", tmp_path, "raise SystemExit('the disk is full') #")
    program.process.wait(10)
    with pytest.raises(ServerError, match=r"(?s)sleeper ended at start with code 1.*disk is full"):
        program.check()


def test_the_usual_port_is_taken_where_it_is_free() -> None:
    with socket.create_server((processes.HOST, 0)) as holder:
        port = int(holder.getsockname()[1])
    with processes.claimed_port(None, port) as chosen:
        assert chosen == port


def test_a_usual_port_in_use_is_passed_over() -> None:
    with socket.create_server((processes.HOST, 0)) as holder:
        port = int(holder.getsockname()[1])
        with processes.claimed_port(None, port) as chosen:
            assert chosen > port
            with socket.socket() as caller:
                assert caller.connect_ex((processes.HOST, chosen)) != 0


def test_two_that_start_at_once_get_different_ports() -> None:
    """Neither listens yet when the other chooses."""
    with (
        processes.claimed_port(None, 42000) as one,
        processes.claimed_port(None, 42000) as other,
    ):
        assert one != other


def test_a_port_in_use_is_named() -> None:
    with socket.create_server((processes.HOST, 0)) as holder:
        port = int(holder.getsockname()[1])
        with (
            pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 cannot be used"),
            processes.claimed_port(port, 4200),
        ):
            pass


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here")
def test_ps_and_proc_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = sleeper("both-ways", tmp_path)
    wait_for(program, "both-ways")
    try:
        monkeypatch.setattr(processes, "PROC", tmp_path / "absent")
        assert processes.marked("both-ways") == {program.process.pid}
    finally:
        program.process.kill()
        program.process.wait()
