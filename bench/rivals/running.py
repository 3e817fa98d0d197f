"""Programs of rivals: an environment of their own, and runs in a child whose cost is its own."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bench.rivals.finders import NONE, Pairs, Request

ROOT = Path(__file__).parents[2]
_FINDERS = Path(__file__).with_name("finders.py")
_LOCK = ROOT / "requirements" / "peers.txt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a child told. failed: its last line where it found nothing because it could not run."""

    wall_s: float = float("nan")
    cpu_s: float = float("nan")
    import_cpu_s: float = float("nan")
    peak_mb: float = float("nan")
    said: str = ""
    failed: str = ""
    pairs: Pairs = field(default_factory=lambda: NONE)


def environment(folder: Path, lock: Path = _LOCK) -> str:
    """The Python of the peers, made with all that installs; what does not is told and left out."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for line in lock.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                command = [str(python), "-m", "pip", "install", "--quiet", line]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{line} does not install: {_last_line(done.stderr)}")
    return str(python)


def run(python: str, name: str, request: Request, timeout_s: float) -> Run:
    """One finder of pairs in a child of its own."""
    with tempfile.TemporaryDirectory() as home:
        asked, answer = Path(home) / "request.json", Path(home) / "answer.json"
        asked.write_text(json.dumps(asdict(request)), encoding="utf-8")
        failed = child([python, str(_FINDERS), name, str(asked), str(answer)], timeout_s)
        if failed:
            return Run(failed=failed)
        told = json.loads(answer.read_text(encoding="utf-8"))
        return Run(**told, pairs=np.load(answer.with_suffix(".npy")))


def child(command: list[str], timeout_s: float) -> str:
    """Run a program; "" or why it failed. Our Python sees the project, others do not."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    if command[0] != sys.executable:
        environ.pop("PYTHONPATH")
    with tempfile.TemporaryDirectory() as home:
        try:
            done = subprocess.run(
                command,
                env=environ,
                cwd=home,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not done after {timeout_s:.0f} s"
    return _last_line(done.stderr) if done.returncode else ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no word"
