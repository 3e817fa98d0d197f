"""What an evaluation takes beyond asking the network: figures, intervals, maps, page.

Scores real brain images under a package; they may be of any split, since only seconds are shown.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from bench import ingest
from neuro.evaluation import metrics
from neuro.lake.lake import Lake
from neuro.prediction import predict
from neuro.problems import problem
from neuro.sample import EXTERNAL, NO_SPLIT
from neuro.training import config as recipes
from tasks import evaluate, train
from tasks.load import models, release_data
from tasks.runtime import settings

ASKED_S, ASKED_TIMES = 20.0, 20.0
IMAGES, RESAMPLES, LOOP = 1311, 2000, 50  # of the loop, some, and the rest by their rate


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench evaluate", description=__doc__)
    parser.add_argument("--package", type=Path, help="of problem brain; default: train it shortly")
    parser.add_argument("--stress", action="store_true", help="worse pictures, too")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NEURO_HOME"] = scratch
        question, lake = problem.load("brain"), Lake(f"{scratch}/lake")
        ingest.whole(lake, question, Path(source, "brain"), settings.cores())
        loaded = release_data.load(lake, question)
        folder = (
            options.package or train.train(loaded, recipes.TrainConfig(epochs=3)).package.folder
        )
        model = models.load(question, str(folder))
        loaded = release_data.decoded_for(loaded, model.problem_as_trained(question))
        rows = np.flatnonzero(loaded.frames.targets >= 0)[:IMAGES]
        splits = np.full(len(loaded.frames.splits), NO_SPLIT, dtype="<U16")
        splits[rows] = EXTERNAL
        loaded = replace(loaded, frames=replace(loaded.frames, splits=splits), external="a bench")
        started = perf_counter()
        answered = predict.answer(model.engine, loaded.frames.pixels, rows=rows).calibrated
        inference = perf_counter() - started
        started = perf_counter()
        looked = evaluate.evaluate(loaded, model, EXTERNAL, is_stressed=options.stress)
        whole = perf_counter() - started
        size = looked.page.stat().st_size / 1e6 if looked.page else 0.0
    print(
        f"{len(rows)} images, {len(np.unique(loaded.frames.groups[rows]))} groups: inference "
        f"{inference:.1f} s, evaluation with page {whole:.1f} s; beyond inference "
        f"{whole - inference:.1f} s (asked {ASKED_S:.0f}); page {size:.1f} MB (asked 8)"
    )
    _intervals(answered.probabilities, loaded.frames.targets[rows], loaded.frames.groups[rows])


def _intervals(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64], groups: NDArray[np.str_]
) -> None:
    """Print what intervals of all figures take beside a loop over scikit-learn for four of them."""
    classes = tuple("abcd"[: probabilities.shape[1]])
    started = perf_counter()
    metrics.score(probabilities, targets, groups, classes)
    ours = perf_counter() - started
    names, owner = np.unique(groups, return_inverse=True)
    rng, started = np.random.default_rng(0), perf_counter()
    of_group = [np.flatnonzero(owner == number) for number in range(len(names))]
    for _ in range(LOOP):
        drawn = np.concatenate([of_group[g] for g in rng.integers(0, len(names), len(names))])
        called, asked = probabilities[drawn].argmax(axis=1), targets[drawn]
        (called == asked).mean()
        balanced_accuracy_score(asked, called)
        f1_score(asked, called, average="macro")
        roc_auc_score(asked, probabilities[drawn], multi_class="ovr")
    theirs = (perf_counter() - started) * RESAMPLES / LOOP
    print(
        f"intervals of all figures {ours:.2f} s; a loop over scikit-learn of {RESAMPLES} draws for "
        f"four of them {theirs:.0f} s: {theirs / ours:.0f} times (asked {ASKED_TIMES:.0f})"
    )
