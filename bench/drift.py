"""The drift verdict on real images: false alarms and finds, beside Evidently, C2ST and MAPIE.

A small model of each data set judges windows of 200 images that it has never seen, as they are,
through simulated scanners, in another mix of classes. First without any label, then with the audit
sample's.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench.drifts import audits, peers, scenes, table, unseen, varying, watching
from bench.drifts.audits import Year
from bench.drifts.peers import Setting
from bench.drifts.scenes import Scene, Scenes
from bench.drifts.varying import Varying
from bench.drifts.watching import Row
from monitoring.windows import Observed

PROBLEMS = ("brain", "chest", "skin")
IMAGES = 200  # of a window
CHOSEN_ON = 8  # quiet windows, and as many shifted, that choose Evidently's setting
NOT_THE_ROWS = 1_000  # added to the seed where a setting is chosen
WITHOUT, WITH, FEW, VARYING = "without labels", "with audits", "few groups", "weeks that vary"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """A data set with its model's answers, and Evidently's best setting on it."""

    problem: str
    scenes: Scenes
    setting: Setting


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """One scene of one data set. kind: WITHOUT, WITH, FEW or VARYING. then: a harmful scene."""

    problem: str
    kind: str
    scene: Scene
    reference: Observed
    setting: Setting
    then: Scene | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a task found. few: the verdicts on windows of few groups, one after the other."""

    rows: tuple[Row, ...] = ()
    years: tuple[Year, ...] = ()
    few: tuple[str, ...] = ()
    varying: tuple[Varying, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """How much is measured, and where what can be used again is kept."""

    work: Path
    source: Path
    seed: int
    windows: int
    years: int
    peers: Path | None


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench drift", description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--windows", type=int, default=24, help="of each row; peers see half")
    parser.add_argument("--years", type=int, default=50, help="of each row with audits")
    parser.add_argument("--seed", type=int, default=0, help="of split, model and windows")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, help="keeps models and answers for the next run")
    parser.add_argument("--peers", type=Path, help="environment or pip's target that has MAPIE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        asked = Asked(
            work=(options.work or Path(scratch)).absolute(),
            source=Path(source).absolute(),
            seed=options.seed,
            windows=options.windows,
            years=options.years,
            peers=options.peers.absolute() if options.peers else None,
        )
        prepared, found = _run(asked, options.problems, options.processes)
    if options.json:
        print(json.dumps([{"problem": name, **asdict(each)} for name, each in found]))
        return
    _print(asked, {each.problem: each.scenes.note for each in prepared}, found)


def _run(
    asked: Asked, problems: list[str], processes: int
) -> tuple[list[Prepared], list[tuple[str, Found]]]:
    """Prepare each data set, then measure all of its scenes; spread over processes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = get_context("spawn")  # Lance does not survive a fork
    found = []
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        prepared = list(pool.map(partial(_prepare, asked), problems))
        tasks = [task for each in prepared for task in _tasks(each)]
        for task, each in zip(tasks, pool.map(partial(_measure, asked), tasks), strict=True):
            found.append((task.problem, each))
            _tell(f"{len(found)} of {len(tasks)}: {task.problem}, {task.kind}, {task.scene.name}")
    return prepared, found


def _prepare(asked: Asked, name: str) -> Prepared:
    """Images, model, answers to every shift; and the setting, by windows of another seed."""
    _tell(f"{name}: images and model")
    given = unseen.prepare(name, asked.source, asked.work, asked.seed)
    cache = asked.work / f"{name}-{asked.seed}" / "answers"
    built = scenes.build(name, given, cache, asked.seed, _tell)
    rng = np.random.default_rng(asked.seed + NOT_THE_ROWS)
    calm, shifted = (
        [some[n % len(some)].draw(IMAGES, rng) for n in range(CHOSEN_ON)]
        for some in (built.of_kind("quiet"), built.of_kind("harmful"))
    )
    _tell(f"{name}: Evidently's best setting")
    setting = peers.best(built.reference, calm, shifted)
    return Prepared(problem=name, scenes=built, setting=setting)


def _tasks(prepared: Prepared) -> list[Task]:
    of = prepared.scenes
    lists: dict[str, Sequence[Scene]]
    lists = {WITHOUT: of.without_labels, WITH: of.with_audits, FEW: (of.few,)}
    lists[VARYING] = of.of_kind("harmless")
    return [
        Task(
            problem=prepared.problem,
            kind=kind,
            scene=scene,
            reference=of.reference,
            setting=prepared.setting,
            then=of.of_kind("harmful")[0] if kind == VARYING else None,
        )
        for kind, some in lists.items()
        for scene in some
    ]


def _measure(asked: Asked, task: Task) -> Found:
    rng = np.random.default_rng([asked.seed, *task.scene.name.encode()])
    reference, scene = task.reference, task.scene
    if task.kind == FEW:
        some = [scene.draw_groups(scenes.FEW_GROUPS, rng) for _ in range(scenes.FEW_WINDOWS)]
        return Found(few=tuple(audits.few(reference, some, rng)))
    if task.then:
        n = max(1, asked.windows // varying.AFTER)
        weeks = varying.watch(task.problem, scene, task.then, reference, IMAGES, n, rng)
        return Found(varying=(weeks,))
    windows = [scene.draw(IMAGES, rng) for _ in range(asked.windows)]
    beside = peers.of_windows(task.setting) if task.kind == WITHOUT else {}
    rows, watched = watching.watch(task.problem, scene, reference, windows, beside)
    if task.kind == WITHOUT:
        return Found(rows=tuple(rows))
    years = audits.run(
        task.problem,
        scene.name,
        reference,
        watched,
        asked.years,
        asked.seed,
        has_mapie=peers.has_mapie(asked.peers),
    )
    return Found(years=tuple(years))


def _print(asked: Asked, notes: Mapping[str, str], found: list[tuple[str, Found]]) -> None:
    show: Callable[[str], None] = print
    show(
        f"windows of {IMAGES} images, {asked.windows} of each row, {asked.years} years with audits,"
        f" seed {asked.seed}; figures are per cent"
    )
    for line in table.LEGEND:
        show(line)
    for name, note in notes.items():
        mine = [each for problem, each in found if problem == name]
        show(f"\n{note}")
        table.of_rows([row for each in mine for row in each.rows], show)
        table.of_years([year for each in mine for year in each.years], show)
        table.of_varying([each for some in mine for each in some.varying], show)
        few = Counter(outcome for each in mine for outcome in each.few)
        counts = ", ".join(f"{name} {count}" for name, count in few.items())
        groups = f"{scenes.FEW_GROUPS} groups"
        show(f"windows of {groups} at half of the accuracy, with audits of all so far: {counts}")
    if not peers.has_mapie(asked.peers):
        show("\nMAPIE is not installed: give --peers DIR (pip install --target DIR mapie==1.6.0)")


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
