"""Planted leaks, false joins, and what a passport costs beside other finders of duplicates."""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from bench import plants
from bench.plants import Plant, Real
from bench.rivals import judging, running
from bench.rivals.finders import Request
from bench.rivals.judging import Judged, Truth
from bench.rivals.running import Run
from neuro.images import sanitize
from neuro.problems import problem
from neuro.problems.problem import Problem

ASKED = {"mirror": 0.98, "rotate": 0.98, "re-encode": 0.98, "crop": 0.90, "gamma": 0.90}
TARGET_CPU_S = 60.0
OURS = ("neuro_twins", "neuro_ingest", "sklearn_plain", "sklearn_flips")
PEERS = ("imagededup_phash", "imagededup_strict", "cleanvision", "imagededup_cnn", "selfclean")
TIMEOUT_S = 600.0
PROBLEM = """
name = "bench"
dataset = "bench"
classes = {classes}
intended_use = "Benchmark."
licence = "as the set"
citation = "none"
[layout]
names = "keep"
splits = {{ train = "train", val = "val", test = "test" }}
[groups]
{groups}twin_cosine = {cosine}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """Real images of a set, each once, and copies among them. thumbnails: of both, copies last."""

    name: str
    question: Problem
    cosine: float
    reals: Sequence[Real]
    copies: Sequence[Plant]
    thumbnails: Sequence[bytes]

    @property
    def truth(self) -> Truth:
        """What was made of what."""
        n = len(self.reals)
        groups = [real.group for real in self.reals]
        return Truth(
            source=np.array([*range(n), *(copy.source for copy in self.copies)], np.int64),
            kind=[*[""] * n, *(copy.kind for copy in self.copies)],
            group=np.array([*groups, *(groups[copy.source] for copy in self.copies)]),
            thumbnails=self.thumbnails,
            cosine=self.cosine,
        )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench passport", description=__doc__)
    parser.add_argument(
        "--images", type=int, default=7000, help="of the timed run, copies included"
    )
    parser.add_argument("--copies", type=int, default=300, help="planted of each kind")
    parser.add_argument("--set", choices=plants.SETS, default="brain", help="of the timed run")
    parser.add_argument("--rounds", type=int, default=2, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", type=Path, help="environment of the peers; made if missing")
    parser.add_argument("--cosine", type=float, help="of twins, in place of each problem's own")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of pairs of two ids")
    parser.add_argument("--only", choices=("leaks", "speed"), help="one of the two parts")
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    if options.only != "speed":
        leaks(Path(data), options)
    if options.only != "leaks":
        speed(Path(data), options)


def leaks(data: Path, options: argparse.Namespace) -> None:
    kinds = (*plants.KINDS, plants.MIXED)
    print(
        f"{options.copies} copies of each kind, saved as JPEG, planted into all images of a set;\n"
        "recall: copies in one cluster with the image they were made of. crop keeps 95 % of each\n"
        "side, at any place (crop, area: 95 % of the area); mixed: mirror or rotate, crop, gamma\n"
        "and re-encode together.\n"
    )
    print(f"{'':12}{'images':>8}{'cosine':>8}" + "".join(f"{kind:>12}" for kind in kinds))
    asked = [f"{ASKED[kind]:.2f}" if kind in ASKED else "" for kind in kinds]
    print(f"{'asked':28}" + "".join(f"{figure:>12}" for figure in asked))
    told = []
    for name in plants.SETS:
        planted = plant(data, name, kinds, options)
        pairs = plants.twins(planted.thumbnails, planted.cosine)
        recall = judging.judge(pairs, planted.truth).recall
        print(
            f"{name:12}{len(planted.reals):8}{planted.cosine:8}"
            + "".join(f"{recall[kind]:12.3f}" for kind in kinds)
        )
        told.append(planted)
    print(
        "\nJoins of different patients or lesions: pairs by our rule alone, nothing planted, files "
        "of the\nsame bytes once. Of two ids is not always wrong: look at them (--sheets)."
    )
    for planted in told:
        if any(real.group for real in planted.reals):
            _false_joins(planted, options)


def _false_joins(planted: Planted, options: argparse.Namespace) -> None:
    reals = planted.reals
    small = planted.thumbnails[: len(reals)]
    pairs = plants.twins(small, planted.cosine)
    group = np.array([real.group for real in reals])
    known = pairs[(group[pairs] != "").all(axis=1)]
    apart = known[group[known[:, 0]] != group[known[:, 1]]]
    number = judging.clustered(pairs, len(reals))
    wide = sum(len(set(group[number == one]) - {""}) > 1 for one in np.unique(number[apart[:, 0]]))
    print(
        f"{planted.name}: {len(known)} pairs of images with ids, {len(apart)} of two ids, "
        f"in {wide} clusters; the largest cluster has {np.bincount(number).max()} images"
    )
    for one, other in apart[:20]:
        print(
            f"    {reals[one].name}  {reals[other].name}  {reals[one].label} {reals[other].label}"
        )
    if len(apart) > 20:
        print(f"    and {len(apart) - 20} more")
    if options.sheets and len(apart):
        options.sheets.mkdir(parents=True, exist_ok=True)
        raws = [(reals[a].path.read_bytes(), reals[b].path.read_bytes()) for a, b in apart[:80]]
        plants.sheet(raws, across=5).save(options.sheets / f"{planted.name}.png")


def speed(data: Path, options: argparse.Namespace) -> None:
    kinds = tuple(ASKED)
    planted = plant(data, options.set, kinds, options, options.images)
    cores = len(os.sched_getaffinity(0))
    n = len(planted.thumbnails)
    print(
        f"\n{n} images of {options.set}, {n - len(planted.reals)} of them planted, {cores} cores, "
        f"{options.rounds} rounds,\ninterleaved, each finder in a process of its own; its imports "
        "are not counted. CPU s: user and system, children included.\nPrecision of joined pairs: "
        f"{judging.RIGHT}.\n"
    )
    names = [(sys.executable, name) for name in OURS]
    if options.peers:
        names += [(running.environment(options.peers.absolute()), name) for name in PEERS]
    else:
        print("the peers are left out: give --peers DIR, an environment that is made if missing")
    runs: dict[str, list[Run]] = {name: [] for _, name in names}
    with tempfile.TemporaryDirectory() as scratch:
        request = _written(planted, Path(scratch))
        for _ in range(options.rounds):
            for python, name in names:
                if runs[name] and runs[name][-1].failed:
                    continue
                runs[name].append(running.run(python, name, request, TIMEOUT_S))
                shutil.rmtree(Path(scratch) / "lake", ignore_errors=True)
    _table(runs, planted.truth, kinds)


def _table(runs: dict[str, list[Run]], truth: Truth, kinds: Sequence[str]) -> None:
    print(
        f"{'':20}{'CPU s':>8}{'wall s':>8}{'CPU, ours = 1':>15}{'MB':>7}"
        + "".join(f"{kind:>11}" for kind in kinds)
        + f"{'pairs':>10}{'right':>8}{'or twins':>10}{'largest':>9}"
    )
    base = median(run.cpu_s for run in runs[OURS[0]])
    for name, some in runs.items():
        if some[-1].failed:
            print(f"{name:20}did not run: {some[-1].failed}")
            continue
        cpu, wall = (median(getattr(run, of) for run in some) for of in ("cpu_s", "wall_s"))
        line = f"{name:20}{cpu:8.1f}{wall:8.1f}{cpu / base:15.2f}{some[-1].peak_mb:7.0f}"
        found = some[-1].pairs
        print(line + (_quality(judging.judge(found, truth), kinds) if len(found) else ""))
        if some[-1].said:
            print(f"{'':20}{some[-1].said}")
    whole = median(run.cpu_s for run in runs["neuro_ingest"])
    print(f"\nall of an ingest, passport included: {whole:.1f} CPU s; asked {TARGET_CPU_S:.0f}")


def _quality(judged: Judged, kinds: Sequence[str]) -> str:
    return (
        "".join(f"{judged.recall[kind]:11.3f}" for kind in kinds)
        + f"{judged.pairs:10}{judged.right:8.3f}{judged.with_twins:10.3f}{judged.largest:9}"
    )


def plant(
    data: Path,
    name: str,
    kinds: Sequence[str],
    options: argparse.Namespace,
    images: int | None = None,
) -> Planted:
    """A set with copies among it. images: how many in all; None for the whole set."""
    question, reals = problem.load(name), _distinct(plants.images(data, name))
    copies, seed = options.copies, options.seed
    if images is not None:
        room = max(copies * len(kinds), images - copies * len(kinds))
        order = np.random.default_rng(seed).permutation(len(reals))[:room]
        reals = [reals[row] for row in np.sort(order)]
    drawn = plants.draw([real.path for real in reals], kinds, copies, seed)
    context = multiprocessing.get_context("spawn")  # our libraries have threads: no fork
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool:
        small = [*pool.map(_thumbnail_of, [real.path for real in reals], chunksize=64)]
    small += [sanitize.clean(copy.raw).thumbnail for copy in drawn]
    return Planted(
        name=name,
        question=question,
        cosine=options.cosine or question.groups.twin_cosine,
        reals=reals,
        copies=drawn,
        thumbnails=small,
    )


def _distinct(reals: Sequence[Real]) -> list[Real]:
    """Each file's bytes once: an ingest keeps no more."""
    first: dict[str, Real] = {}
    for real in reals:
        first.setdefault(hashlib.sha256(real.path.read_bytes()).hexdigest(), real)
    return list(first.values())


def _thumbnail_of(path: Path) -> bytes:
    return sanitize.clean(path.read_bytes()).thumbnail


def _written(planted: Planted, scratch: Path) -> Request:
    """A folder of the images by split and class, with a problem that reads it so."""
    files: list[str] = []
    whole = [*planted.reals, *(planted.reals[copy.source] for copy in planted.copies)]
    for row, real in enumerate(whole):
        folder = scratch / "images" / real.given_split / real.label
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{Path(real.name).stem}-{row}{real.path.suffix}"
        if row < len(planted.reals):
            shutil.copy(real.path, path)
        else:  # a copy that leaks carries no id: only the search can join it
            path = folder / f"copy-{row}.jpg"
            path.write_bytes(planted.copies[row - len(planted.reals)].raw)
        files.append(str(path))
    question = planted.question
    pattern = question.groups.pattern
    text = PROBLEM.format(
        classes=list(question.classes),
        groups=f"pattern = '{pattern}'\n" if pattern else "",
        cosine=planted.cosine,
    )
    (scratch / "problem.toml").write_text(text, encoding="utf-8")
    return Request(
        folder=str(scratch / "images"),
        files=files,
        cosine=planted.cosine,
        problem=str(scratch / "problem.toml"),
        scratch=str(scratch),
    )
