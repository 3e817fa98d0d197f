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
        port = processes.port_of(holder)
    with processes.listening(None, port) as listener:
        assert processes.port_of(listener) == port


def test_a_usual_port_in_use_is_passed_over() -> None:
    with socket.create_server((processes.HOST, 0)) as holder:
        port = processes.port_of(holder)
        with processes.listening(None, port) as listener:
            assert processes.port_of(listener) > port


def test_nobody_gets_the_port_before_the_server_that_is_started_for_it() -> None:
    """Another stack takes the next one, and a program that insists on it is refused."""
    with processes.listening(None, 42000) as one, processes.listening(None, 42000) as other:
        ports = [processes.port_of(each) for each in (one, other)]
        assert ports[0] != ports[1]
        with pytest.raises(OSError, match="in use"):
            socket.create_server((processes.HOST, ports[0]))


def test_a_program_answers_on_the_socket_it_is_handed(tmp_path: Path) -> None:
    answer = "import socket; socket.socket(fileno=0).accept()[0].sendall(b'here')"
    with processes.listening(None, 42000) as listener:
        port = processes.port_of(listener)
        program = processes.start(
            "answering",
            [sys.executable, "-c", answer],
            environment={},
            cwd=tmp_path,
            log=tmp_path / "log",
            listener=listener,
        )
    with socket.create_connection((processes.HOST, port), timeout=20) as caller:
        assert caller.recv(4) == b"here"
    assert program.process.wait(20) == 0


def test_a_port_in_use_is_named() -> None:
    with socket.create_server((processes.HOST, 0)) as holder:
        port = processes.port_of(holder)
        with (
            pytest.raises(ServerError, match=f"port {port} on 127.0.0.1 cannot be used"),
            processes.listening(port, 4200),
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
