"""Ingestion with all its checks beside an obvious loop, and a second ingest of the same files."""

import argparse
import hashlib
import os
import random
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

from PIL import Image

from neuro.images import sandbox
from neuro.ingest import delivery, pipeline
from neuro.ingest.vet_new import IngestRun
from neuro.lake.lake import Lake
from neuro.problems import problem
from neuro.problems.problem import Problem

SETS = ("brain", "chest", "skin")
PROBLEM = """
name = "bench"
dataset = "bench"
classes = ["brain", "chest", "skin"]
intended_use = "Benchmark."
licence = "as the sets"
citation = "none"
[groups]
twin_cosine = 0.985
"""


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--side", type=int, default=0, help="enlarge the images to this longest side in px"
    )
    parser.add_argument("--scratch", type=Path, help="folder for copies and lakes")
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        home = Path(scratch)
        folder = home / "delivery"
        size = draw(Path(data), folder, options.files, options.seed, options.side)
        files = sum(1 for path in folder.rglob("*") if path.is_file())
        how = f" enlarged to {options.side} px" if options.side else ""
        print(f"{files} real JPEGs{how}, {size / 1e6:.0f} MB, {len(cores)} cores, local folder")
        _measure(home, folder, cores, files, options.rounds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one run: by the wall clock, and of all cores together, the children's among them."""

    wall_s: float
    cpu_s: float


def _measure(home: Path, folder: Path, cores: list[int], files: int, rounds: int) -> None:
    question = problem.parse(PROBLEM, where="bench")
    costs: dict[str, list[Cost]] = {}
    said: dict[str, str] = {}
    _warm(home, question, folder)

    def timed(name: str, used: list[int], call: Callable[[], str]) -> None:
        with _cores(used):
            started, cpu = perf_counter(), _cpu_s()
            said[name] = call()
            cost = Cost(wall_s=perf_counter() - started, cpu_s=_cpu_s() - cpu)
            costs.setdefault(name, []).append(cost)

    for number in range(rounds):
        one, two = (Lake(str(home / f"lake-{number}-{n}")) for n in (1, 2))
        copies = home / f"copies-{number}"
        timed("obvious loop, 1 core", cores[:1], partial(_obvious, folder, copies))
        timed("neuro, 1 core", cores[:1], partial(whole, one, question, folder, 1))
        timed("neuro, all cores", cores, partial(whole, two, question, folder, len(cores)))
        timed("neuro, again", cores, partial(whole, two, question, folder, len(cores)))
        for path in (copies, Path(one.uri), Path(two.uri)):
            shutil.rmtree(path)
    wall = {name: median(cost.wall_s for cost in some) for name, some in costs.items()}
    cpu = {name: median(cost.cpu_s for cost in some) for name, some in costs.items()}
    print(f"{'':22}{'s':>8}{'CPU s':>8}{'files/s':>10}")
    for name, value in wall.items():
        print(f"{name:22}{value:8.2f}{cpu[name]:8.2f}{files / value:10.0f}   {said[name]}")
    loop, single, every, again = wall
    print(f"files per CPU second, against the loop: {cpu[loop] / cpu[single]:.2f}x")
    print(f"{len(cores)} cores against one: {wall[single] / wall[every]:.2f}x")
    print(f"the same files again: {wall[every] / wall[again]:.1f}x faster than the first time")


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _obvious(folder: Path, copies: Path) -> str:
    """What one would write first: verify, decode, hash, copy. No clean bytes, twins or release."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with Image.open(path) as picture:
            picture.verify()
        with Image.open(path) as picture:
            picture.load()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        copies.mkdir(exist_ok=True)
        shutil.copy(path, copies / digest)
    return f"{len(list(copies.iterdir()))} distinct"


def whole(lake: Lake, question: Problem, folder: Path, workers: int) -> str:
    """Everything `neuro ingest --local` does, passport included, but for starting Python."""
    marks = [perf_counter()]
    found = delivery.read(folder, question)
    config = sandbox.VetConfig(workers=workers)
    run = IngestRun(
        problem=question,
        delivery=found,
        check=lambda paths: sandbox.check_files(paths, config),
        now=datetime.now(UTC),
    )
    staged = pipeline.stage(lake, run)
    marks.append(perf_counter())
    passport = pipeline.audit_branch(staged)
    marks.append(perf_counter())
    facts = pipeline.receipt(staged, pipeline.publish(staged, passport))
    marks.append(perf_counter())
    spent = [f"{b - a:.1f}" for a, b in pairwise(marks)]
    named = zip(("stage", "audit", "publish"), spent, strict=True)
    kept = {name: facts[name] for name in ("accepted", "repeated", "quarantined")}
    return f"{kept}, " + ", ".join(f"{name} {value} s" for name, value in named)


def _warm(home: Path, question: Problem, folder: Path) -> None:
    """Import what an ingest imports: starting Python is measured for nobody."""
    some = home / "warm" / SETS[0]
    some.mkdir(parents=True)
    for path in sorted((folder / SETS[0]).iterdir())[:8]:
        shutil.copy(path, some)
    whole(Lake(str(home / "warm-lake")), question, some.parent, 1)


def draw(data: Path, folder: Path, files: int, seed: int, side: int = 0) -> int:
    """Copy a seeded draw, each set into the class folder of its name; returns its bytes.

    side: the shared copies are small; enlarged, a file is of the size that archives hold.
    """
    every = [(name, path) for name in SETS for path in sorted((data / name).rglob("*.jp*g"))]
    chosen = random.Random(seed).sample(every, min(files, len(every)))
    size = 0
    for number, (name, path) in enumerate(chosen):
        (folder / name).mkdir(parents=True, exist_ok=True)
        copy = folder / name / f"{number}.jpg"
        if side:
            with Image.open(path) as picture:
                share = side / max(picture.size)
                larger = picture.resize([round(share * length) for length in picture.size])
                larger.save(copy, quality=90)
        else:
            shutil.copy(path, copy)
        size += copy.stat().st_size
    return size


@contextmanager
def _cores(used: list[int]) -> Iterator[None]:
    """Bind this process, its children and its libraries' threads to some cores."""
    before = os.sched_getaffinity(0)
    _bind(used)
    try:
        yield
    finally:
        _bind(list(before))


def _bind(cores: list[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
