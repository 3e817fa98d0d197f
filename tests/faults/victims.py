"""`neuro` commands as processes that a test may kill, cheap because they are forked."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "PYTHONHASHSEED": "0",  # the same order of calls in every victim
    "OMP_NUM_THREADS": "1",  # no threads from an import, or a fork may hang
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a command ended. status: exit code, or minus the signal. names: what was watched."""

    status: int
    out: str
    err: str
    names: tuple[str, ...]

    def receipt(self) -> dict[str, Any]:
        """What was printed with --json."""
        assert self.status in (0, 3), self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


class Zygote:
    """Starts commands; each has the given folder as its home and working folder."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._started = logs, 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threads = self._read()["threads"]
        assert threads == 1, "what was imported has started threads, so a fork may hang"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def start(
        self, home: Path, *argv: str, kill_at: int | None = None, is_watched: bool = False
    ) -> tuple[int, Path]:
        """Begin a command. kill_at: the watched call that is its last."""
        self._started += 1
        log = self._logs / str(self._started)
        home.mkdir(parents=True, exist_ok=True)
        is_watched |= kill_at is not None
        asked = {"argv": argv, "home": str(home), "log": str(log)}
        return self._ask(asked | {"kill_at": kill_at, "is_watched": is_watched})["pid"], log

    def end(self, started: tuple[int, Path]) -> Ended:
        """Wait for a command."""
        pid, log = started
        status = self._ask({"wait": pid})["status"]
        parts = [Path(f"{log}.{name}") for name in ("out", "err", "names")]
        out, err, names = (part.read_text() if part.exists() else "" for part in parts)
        return Ended(status=status, out=out, err=err, names=tuple(names.splitlines()))

    def run(self, home: Path, *argv: str, **options: Any) -> Ended:
        """One command to its end."""
        return self.end(self.start(home, *argv, **options))

    def kill_after(self, seconds: float, home: Path, *argv: str) -> Ended:
        """One command, ended with SIGKILL unless it was done by then."""
        started = self.start(home, *argv)
        time.sleep(seconds)
        os.kill(started[0], signal.SIGKILL)  # not waited for yet, so the id is still its own
        return self.end(started)

    def _ask(self, asked: dict[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote has ended"
        found: dict[str, int] = json.loads(line)
        return found
