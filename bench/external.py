"""A package on images from elsewhere, without those that are twins of what the lake holds."""

import argparse
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import ingest
from neuro.duplicates import twins
from neuro.duplicates.pose_invariants import Vectors
from neuro.evaluation import metrics
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.prediction import predict
from neuro.problems import problem
from tasks.load import release_data, unseen
from tasks.load.release_data import Loaded
from tasks.runtime import settings

PROBLEM = "brain_tumor"
FOLDERS = {"yes": "tumor", "no": "no_tumor"}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench external", description=__doc__)
    parser.add_argument("package", type=Path, help="that `neuro train -p brain_tumor` wrote")
    parser.add_argument("--lake", default=settings.load().lake, help="that it was trained on")
    parser.add_argument("--release", default=None, help="default: the current one")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain_external")
    found = package.open_verified(options.package)
    question = replace(problem.load(PROBLEM), preprocess=found.card.preprocess)
    held = release_data.load(Lake(options.lake), question, options.release)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NEURO_HOME"] = scratch
        delivery = Path(scratch) / "delivery"
        for folder, label in FOLDERS.items():
            shutil.copytree(Path(source) / "brain_external" / "navoneel" / folder, delivery / label)
        lake = Lake(str(Path(scratch) / "lake"))
        ingest.whole(lake, question, delivery, settings.cores())
        _score(found, held, release_data.load(lake, question))


def _score(found: package.Package, held: Loaded, came: Loaded) -> None:
    """Print what the package answers on what came and is no twin of what is held."""
    looks = [_looks(held), _looks(came)]
    first = len(looks[0])
    pairs = twins.find(np.concatenate(looks), first, came.problem.groups.twin_cosine)
    known = np.unique(pairs[pairs[:, 0] < first, 1]) - first
    frames = came.frames
    known = np.union1d(known, np.flatnonzero(unseen.by(came, found.trained_on())))
    rows = np.setdiff1d(np.flatnonzero(frames.targets >= 0), known)
    print(
        f"{len(frames.sample_ids)} images, {len(known)} of them twins of the {first} that the lake "
        f"holds, or trained on, and left out; {len(rows)} are asked, in "
        f"{len(np.unique(frames.groups[rows]))} groups.\n"
    )
    answers = predict.predict(
        predict.load(found),
        frames.pixels[rows],
        frames.sample_ids[rows],
        model_version=found.digest,
    )
    classes = came.problem.classes
    told = np.array([answer.probabilities for answer in answers])
    called = np.array([classes.index(answer.predicted) for answer in answers])
    asked = (frames.targets[rows], frames.groups[rows], classes)
    for metric in metrics.score(told, *asked, called=called):
        print(f"{metric.name:20} {metric}")
    print(f"decisions: {dict(Counter(answer.decision for answer in answers))}")
    right = called == frames.targets[rows]
    answered = np.array([answer.decision == "answer" for answer in answers])
    if answered.any():
        print(f"right of what is answered: {right[answered].mean():.3f}")


def _looks(loaded: Loaded) -> Vectors:
    ids = loaded.frames.sample_ids.tolist()
    small = images.thumbnails(loaded.lake, loaded.release, ids)
    return twins.vectors([bytes(row) for row in small])
