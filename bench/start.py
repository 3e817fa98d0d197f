"""From the command to the first step of training, frames cached; and memory above the frames.

Runs ``neuro train --local`` as it is, in a fresh process each time, with marks on the way.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time, time
from typing import Any

import numpy as np

ASKED_S, ASKED_GB = 10.0, 1.5
MARKS = "NEURO_BENCH_MARKS"  # file of a run's marks
STOPS = "NEURO_BENCH_STOPS"  # set: stop after the first step
PARTS = ("Python, the command line", "imports of the flow", "release, every digest", "first step")
CHILD = "from bench import start; start.command()"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench start", description=__doc__)
    parser.add_argument("--problem", default="brain", help="of the set of that name")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes; medians are shown")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        here = os.environ | {"NEURO_HOME": f"{scratch}/home", "NEURO_LAKE": f"{scratch}/lake"}
        _neuro(here, "ingest", str(Path(source, options.problem)), "-p", options.problem)
        train = ("train", "-p", options.problem, "--epochs", "1")
        whole = _run(here, Path(scratch), *train)
        frames = next(Path(scratch, "home", "frames").glob("*/pixels.npy"))
        n, *shape = np.load(frames, mmap_mode="r").shape
        runs = [_run(here | {STOPS: "1"}, Path(scratch), *train) for _ in range(options.rounds)]
        print(
            f"neuro train -p {options.problem} --local --epochs 1: {n} images, frames of {shape}, "
            f"{os.cpu_count()} cores\n"
        )
        _report(runs)
        again = _run(here, Path(scratch), *train)
        _memory({"first run": whole, "frames cached": again}, frames.stat().st_size)


def command() -> None:
    """The command of sys.argv, with marks, in this process."""
    marks: dict[str, Any] = {"wall": [], "cpu": []}

    def mark() -> None:
        marks["wall"].append(time())
        marks["cpu"].append(process_time())

    from deployments import console
    from deployments.cli import app

    mark()
    load = console.load_flow  # where the command ends and the flow begins

    def marked(flow: str) -> Any:
        found = load(flow)
        mark()
        _mark_the_rest(mark, marks)
        return found

    console.load_flow = marked
    try:
        app.main()
    finally:
        _write(marks)


def _mark_the_rest(mark: Callable[[], None], marks: dict[str, Any]) -> None:
    from torch.optim import optimizer

    from tasks import train

    check = train.check

    def checked(*args: Any, **kwargs: Any) -> None:
        mark()
        check(*args, **kwargs)

    def stepped(*_: Any) -> None:
        hook.remove()
        mark()
        if STOPS in os.environ:
            _write(marks)
            os._exit(0)

    train.check = checked
    hook = optimizer.register_optimizer_step_post_hook(stepped)


def _write(marks: dict[str, Any]) -> None:
    marks["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(os.environ[MARKS]).write_text(json.dumps(marks), encoding="utf-8")


def _neuro(here: dict[str, str], *args: str) -> None:
    line = [sys.executable, "-c", "from deployments.cli import app; app.main()", *args, "--local"]
    subprocess.run(line, env=here, check=True, capture_output=True)


def _run(here: dict[str, str], scratch: Path, *args: str) -> dict[str, Any]:
    """Seconds of each part, by the wall clock and of all threads, and the peak of memory."""
    path = scratch / "marks.json"
    line = [sys.executable, "-c", CHILD, *args, "--local"]
    started = time()
    subprocess.run(line, env=here | {MARKS: str(path)}, check=True, capture_output=True)
    marks: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    wall = np.diff([started, *marks["wall"]]).tolist()
    return {"wall": wall, "cpu": np.diff([0, *marks["cpu"]]).tolist(), "peak": marks["peak"]}


def _report(runs: list[dict[str, Any]]) -> None:
    print(f"{'to the first step':28}{'s':>7}{'CPU s':>8}")
    for number, part in enumerate(PARTS):
        wall, cpu = (median(run[kind][number] for run in runs) for kind in ("wall", "cpu"))
        print(f"{part:28}{wall:7.2f}{cpu:8.2f}")
    wall, cpu = (sorted(sum(run[kind]) for run in runs) for kind in ("wall", "cpu"))
    print(f"{'together':28}{median(wall):7.2f}{median(cpu):8.2f}")
    print(
        f"\nasked: {ASKED_S:.0f} s, got {median(wall):.1f} ({wall[0]:.1f} to {wall[-1]:.1f} in "
        f"{len(runs)} runs); CPU s: of all threads.\n"
    )


def _memory(runs: dict[str, dict[str, Any]], frames: int) -> None:
    print(f"{'whole run':28}{'peak GB':>9}{'frames':>8}{'above':>8}")
    for name, run in runs.items():
        peak, held = run["peak"] / 1e9, frames / 1e9
        print(f"{name:28}{peak:9.2f}{held:8.2f}{peak - held:8.2f}")
    print(f"\nasked: {ASKED_GB} GB above the frames; peak: of the resident set, frames among it.")
