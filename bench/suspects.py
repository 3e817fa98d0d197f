"""Planted label errors: how far up a ranking brings them, beside cleanlab on thumbnails."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score

from bench import passport, plants
from bench.passport import Planted
from bench.rivals import judging, running
from neuro.duplicates import near_pairs
from neuro.duplicates import twins as twinning
from neuro.passport import label_errors

SHARE = 0.03
ASKED = 5  # times chance, which is the share
COMPONENTS = 64
TIMEOUT_S = 300.0
_SUSPECTING = Path(running.__file__).with_name("suspecting.py")

Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Images with labels that may be wrong. labels: class numbers; groups: cluster numbers."""

    thumbnails: Sequence[bytes]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench suspects", description=__doc__)
    parser.add_argument("--draws", type=int, default=3, help="seeded draws of errors; means shown")
    parser.add_argument("--images", type=int, help="of each set; all without it")
    parser.add_argument("--peers", type=Path, help="environment of the peers; made if missing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    options.copies, options.cosine = 0, None
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    python = running.environment(options.peers.absolute()) if options.peers else ""
    if not python:
        print("cleanlab is left out: give --peers DIR, an environment that is made if missing")
    print(
        f"{SHARE:.0%} of the labels changed to another class, means of {options.draws} draws; each "
        "file's bytes once.\nAP: average precision of the ranking; chance is the share of errors, "
        f"{SHARE}; asked {ASKED} times that.\nfirst: share of errors among as many first ones as "
        "there are errors. CPU s: of one ranking, on thumbnails\nmade before.\n"
    )
    print(
        f"{'set':8}{'images':>8}  {'ranking':34}{'AP':>7}{'x chance':>10}{'first':>8}{'CPU s':>8}"
    )
    for name in plants.SETS:
        planted = passport.plant(Path(data), name, (), options, options.images)
        _show(planted, name, _ranked(planted, python, options))


def _show(planted: Planted, name: str, told: dict[str, list[tuple[float, ...]]]) -> None:
    for ranking, draws in told.items():
        precision, first, cpu = np.mean(np.array(draws), axis=0)
        print(
            f"{name:8}{len(planted.reals):8}  {ranking:34}{precision:7.3f}"
            f"{precision / SHARE:10.1f}{first:8.3f}{cpu:8.1f}"
        )


def _ranked(
    planted: Planted, python: str, options: argparse.Namespace
) -> dict[str, list[tuple[float, ...]]]:
    """AP, share of errors among the first, CPU seconds: of every ranking and draw."""
    told: dict[str, list[tuple[float, ...]]] = {}
    classes = planted.question.classes
    pairs = plants.twins(planted.thumbnails, planted.cosine)
    for draw in range(options.draws):
        labels, wrong = plants.flipped(
            [real.label for real in planted.reals], classes, SHARE, options.seed + draw
        )
        data = Labelled(
            thumbnails=planted.thumbnails,
            labels=np.array([classes.index(label) for label in labels]),
            groups=judging.clustered(np.concatenate([pairs, of_one_id(planted)]), len(labels)),
        )
        found = {}
        for ranking, is_grouped in (("neuro", True), ("neuro, groups unknown", False)):
            started = process_time()
            score = rank(data, is_grouped=is_grouped)
            found[ranking] = (score, process_time() - started)
        if python:
            found |= _cleanlab(data, python)
        for name, (score, cpu_s) in found.items():
            first = wrong[np.argsort(-score, kind="stable")[: wrong.sum()]].mean()
            row = (float(average_precision_score(wrong, score)), float(first), cpu_s)
            told.setdefault(name, []).append(row)
    return told


def rank(data: Labelled, *, is_grouped: bool = True) -> Scores:
    """How little each label is borne out, (n,), by what a passport asks."""
    rows = twinning.vectors(data.thumbnails)
    groups = data.groups if is_grouped else np.arange(len(rows))
    names = [str(group) for group in groups.tolist()]
    labels = data.labels.astype(np.str_)  # one digit: sorted as numbers are
    near = near_pairs.Neighbours(rows).closest
    shares = label_errors.supported(rows, labels, names, near)
    return 1 - shares[np.arange(len(rows)), np.unique(labels, return_inverse=True)[1]]


def of_one_id(planted: Planted) -> NDArray[np.int64]:
    first: dict[str, int] = {}
    rows = [
        (first.setdefault(real.group, row), row)
        for row, real in enumerate(planted.reals)
        if real.group
    ]
    return np.array(rows, np.int64).reshape(-1, 2)


def _cleanlab(data: Labelled, python: str) -> dict[str, tuple[Scores, float]]:
    """Its two scores, and what its filter flags before what it does not."""
    small = twinning.vectors(data.thumbnails)
    rows = PCA(COMPONENTS, random_state=0).fit_transform(small)
    with tempfile.TemporaryDirectory() as home:
        asked, answer = Path(home) / "request.npz", Path(home) / "answer.npz"
        np.savez(asked, rows=rows, labels=data.labels)
        failed = running.child([python, str(_SUSPECTING), str(asked), str(answer)], TIMEOUT_S)
        if failed:
            print(f"cleanlab did not run: {failed}")
            return {}
        told = np.load(answer)
        cpu_s = float(told["cpu_s"])
        trust = told["self_confidence"]
        return {
            "cleanlab, self-confidence": (trust, cpu_s),
            "cleanlab, normalised margin": (told["margin"], cpu_s),
            "cleanlab, find_label_issues": (trust + 10 * told["flagged"], cpu_s),
        }
