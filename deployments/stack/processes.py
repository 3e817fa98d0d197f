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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuro.errors import ServerError

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
    name: str, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: Path
) -> Program:
    """Start in a session of its own: a worker in the shell's session ignores SIGTERM for ever."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Program(name=name, process=process, log=log)


def last_lines(log: Path, n: int = 15) -> str:
    """The last ``n`` lines of a log that hold text."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-n:])


def choose_ports(wanted: Sequence[int | None]) -> list[int]:
    """Each wanted port, or a free one for None; all differ. Raises ServerError if one is taken."""
    with contextlib.ExitStack() as held:
        ports = []
        for port in wanted:
            listener = held.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port or 0))
                listener.listen()
            except (OSError, OverflowError) as error:
                raise ServerError(
                    f"port {port} on {HOST} cannot be used ({error}); "
                    "give another one, or none to take a free one"
                ) from error
            ports.append(int(listener.getsockname()[1]))
        return ports


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
    asked = set(pids)
    for sign, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        for pid in asked & marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        if _all_ended(mark, asked, wait_s):
            return


def _all_ended(mark: str, pids: set[int], wait_s: float) -> bool:
    end = time.monotonic() + wait_s
    while asked := pids & marked(mark):
        if time.monotonic() > end:
            return False
        for pid in asked:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    return True
