"""Start, find and stop programs on this machine, and the ports they listen on.

Every program of one stack carries a mark in its environment, and what it starts inherits it. So a
program is recognised by its mark, never by its number alone, which the system may have given away.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuro.errors import ServerError
from tasks.runtime import settings

HOST = "127.0.0.1"
MARK = "NEURO_STACK_MARK"
PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One program that was started; ``log`` holds both of its output streams."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ServerError with the last lines of the log if the program has ended."""
        code = self.process.poll()
        if code is not None:
            raise ServerError(
                f"the {self.name} ended at start with code {code}; the end of {self.log}:\n"
                f"{last_lines(self.log)}"
            )


def start(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    log: Path,
    listener: socket.socket | None = None,
) -> Program:
    """Start in a session of its own: a worker in the shell's session ignores SIGTERM for ever.

    listener: becomes its standard input, as inetd does it.
    """
    log.touch(mode=0o600)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL if listener is None else listener.fileno(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=settings.PRIVATE,
        )
    return Program(name=name, process=process, log=log)


def last_lines(log: Path) -> str:
    """The last 15 lines of a log that hold text."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-15:])


@contextlib.contextmanager
def listening(wanted: int | None, usual: int) -> Iterator[socket.socket]:
    """A socket that listens on a free port, to be handed to the server that answers there.

    So nobody else, another account of this machine either, gets the port while the server starts.
    It is the wanted one, or without one the first that is free from ``usual`` on. Raises
    ServerError if the wanted one is taken.
    """
    for port in range(usual, 65536) if wanted is None else [wanted]:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by its connections; a server that is handed a socket does not set it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _listens(listener, port):
                yield listener
                return
    raise ServerError(
        f"port {wanted or usual} on {HOST} cannot be used; give another one, or none to take the "
        "next free one"
    )


def port_of(listener: socket.socket) -> int:
    """Where it listens."""
    return int(listener.getsockname()[1])


def _listens(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind((HOST, port))
        listener.listen()  # refused where two have bound at once
    except OSError:
        return False
    return True


def marked(mark: str) -> set[int]:
    """The living processes of this user that carry ``mark``."""
    entry = f"{MARK}={mark}".encode()
    if not PROC.is_dir():  # macOS: ps prints the environment of one's own processes
        table = subprocess.run(["ps", "axeww", "-o", "pid=,command="], capture_output=True).stdout
        return {int(line.split()[0]) for line in table.splitlines() if entry in line.split()}
    found = set()
    for folder in PROC.iterdir():
        # Another user's process cannot be read, and one that just ended is gone: neither is ours.
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and entry in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
    return found


def stop(mark: str, pids: Iterable[int], *, patience_s: float) -> None:
    """SIGTERM to those of ``pids`` that carry ``mark``, then SIGKILL to what is left."""
    wanted = set(pids)
    for sign, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        for pid in wanted & marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        if _all_ended(mark, wanted, wait_s):
            return


def _is_ending(pid: int) -> bool:
    """Whether a process has given its memory back, and its mark with it, but not yet its ports."""
    folder = PROC / str(pid)
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        if state in "ZX" and len(list((folder / "task").iterdir())) == 1:
            return False  # nothing but its number; before that its threads hold what is open
    except OSError:
        return False
    try:
        return not (folder / "environ").read_bytes()
    except ProcessLookupError:
        return True
    except OSError:
        return False


def _all_ended(mark: str, pids: set[int], wait_s: float) -> bool:
    end = time.monotonic() + wait_s
    while True:
        alive = pids & marked(mark) | {pid for pid in pids if _is_ending(pid)}
        if not alive:
            return True
        if time.monotonic() > end:
            return False
        for pid in alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
