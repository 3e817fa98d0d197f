"""The weekly check of a large window: seconds and memory of `neuro drift`, all it needs stored.

Phantoms are ingested, described and predicted first; that is not measured. The check is the command
itself, in a process of its own, once by what entered with a release, once by days.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deployments.demo import deliveries
from neuro.problems import problem as problems

FIRST = 400  # images that the model has learnt from
TARGETS = {10_000: "60 s, 1 GB", 100_000: "300 s"}
_PEAK = "import json,resource,runpy,sys;sys.argv=json.loads(sys.argv[1]);"
_PEAK += "import atexit;atexit.register(lambda:print('peak',resource.getrusage("
_PEAK += "resource.RUSAGE_SELF).ru_maxrss//1024,file=sys.stderr));"
_PEAK += "runpy.run_module('deployments.cli.app',run_name='__main__')"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench weekly", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="of the window")
    parser.add_argument("--scratch", type=Path, help="folder for the lake")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=asked.scratch, prefix="neuro-weekly-") as folder:
        where, home = Path(folder), Path(folder) / "home"
        problem = problems.load("brain")
        deliveries.draw(where / "first", problem, images=FIRST, seed=0)
        deliveries.draw(where / "later", problem, images=asked.images, seed=1)
        os.environ |= {"NEURO_HOME": str(home), "NEURO_LAKE": str(home / "lake")}
        _neuro("ingest", str(where / "first"))
        model = _neuro("train", "--epochs", "1")["package"]
        later = _neuro("ingest", str(where / "later"))["release"]
        _neuro("featurize")
        _neuro("predict", "--model", model)
        target = TARGETS.get(asked.images, "-")
        print(f"{asked.images:,} images in the window, 96 px; asked: {target}")
        for name, option in (("release", ("--window", later)), ("days", ("--days", "7"))):
            for turn in ("what the model makes of images is computed", "it is stored"):
                start = time.perf_counter()
                done = _run("drift", "--model", model, *option)
                seconds = time.perf_counter() - start
                peak = next(line for line in done.stderr.splitlines() if line.startswith("peak"))
                told = json.loads(done.stdout)
                said = turn if name == "release" else "it is stored"
                print(
                    f"by {name}, {said}: {seconds:.0f} s, {peak.split()[1]} MB at most, "
                    f"{told['images']:,} images of {told['groups']:,} groups: {told['verdict']}",
                    flush=True,
                )


def _neuro(*arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(_run(*arguments).stdout)
    return told


def _run(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb without servers; its peak is the last line of stderr."""
    typed = json.dumps(["neuro", verb, *arguments, "--local", "--json"])
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, typed], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"neuro {verb} failed: {done.stderr[-2000:]}")
    return done
