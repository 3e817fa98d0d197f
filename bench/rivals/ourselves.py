"""Run as a program: neuro and the look-up learn as learners.py does, from a lake in place of files.

Usage: ourselves.py NAME REQUEST ANSWER. ANSWER is that of learners.py; of ``neuro_pilot`` it is the
seconds before the first epoch, and of one epoch.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuro.dataset.frames import Frames
from neuro.duplicates import twins
from neuro.evaluation import baselines
from neuro.images import preprocess
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.problems import problem
from neuro.training import config as train_config
from neuro.training import ensemble_trainer
from neuro.training.device import Machine
from neuro.training.ensemble_trainer import AnyTrainer
from tasks.load import release_data
from tasks.load.release_data import Loaded

PILOT_EPOCHS = 6  # every side of growing views comes as often as in a long run
_AT_ONCE = 256

Curve = list[tuple[float, list[int]]]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Request:
    """What is learnt from. splits: of each sample_id; asked: sample_ids; home: for the frames.

    model: "" for the preset's.
    """

    lake: str
    problem: str
    splits: dict[str, str]
    asked: list[str]
    home: str
    started: float
    minutes: float
    seed: int
    epochs: int = PILOT_EPOCHS
    model: str = ""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.time() - self.started


def train(request: Request) -> Curve:
    """Decode the lake into frames, train on them; the averaged weights after each epoch."""
    loaded = _load(request)
    trainer = _trainer(loaded, request)
    kept = []
    for seconds in _epochs(trainer, request):
        if seconds > 60 * request.minutes:
            break
        kept.append((seconds, deepcopy(trainer.network.state_dict())))
    rows = _rows(loaded.frames, request.asked)
    curve, network = [], trainer.network
    with torch.inference_mode():
        for seconds, state in kept:
            network.load_state_dict(state)
            curve.append((seconds, _all_answers(network, loaded, rows)))
    return curve


def members(request: Request) -> Curve:
    """The same of an ensemble, by ``epochs`` each: one point, where all have ended in time."""
    loaded = _load(request)
    trainer = _trainer(loaded, request)
    for seconds in _epochs(trainer, request):
        if seconds > 60 * request.minutes:
            return []
    rows = _rows(loaded.frames, request.asked)
    with torch.inference_mode():
        return [(request.seconds, _all_answers(trainer.network, loaded, rows))]


def pilot(request: Request) -> tuple[float, float]:
    """The seconds until training begins, and of one epoch of a short cycle."""
    trainer = _trainer(_load(request), request)
    begun = request.seconds
    *_, last = _epochs(trainer, request)
    return begun, (last - begun) / request.epochs


def lookup(request: Request) -> Curve:
    """The class of the most similar training picture in any pose. The thumbnails are in the lake.

    No network, no minutes: one point.
    """
    loaded = _load(request)
    frames = loaded.frames
    known = np.flatnonzero(np.isin(frames.splits, ("train", "val", "calibration")))
    asked, ids = _rows(frames, request.asked), frames.sample_ids.tolist()
    small = images.thumbnails(loaded.lake, loaded.release, ids)
    looks = twins.vectors([bytes(row) for row in small])
    k = len(loaded.problem.classes)
    found = baselines.look_up(looks[known], frames.targets[known], looks[asked], k)
    return [(request.seconds, found.argmax(axis=1).tolist())]


def _load(request: Request) -> Loaded:
    """The release under the splits of the request."""
    os.environ["NEURO_HOME"] = request.home
    loaded = release_data.load(Lake(request.lake), problem.load(request.problem))
    frames = loaded.frames
    splits = np.array([request.splits.get(name, "none") for name in frames.sample_ids.tolist()])
    return Loaded(
        lake=loaded.lake,
        problem=loaded.problem,
        release=loaded.release,
        samples=loaded.samples,
        frames=replace(frames, splits=splits),
    )


def _trainer(loaded: Loaded, request: Request) -> AnyTrainer:
    changes: dict[str, Any] = {"epochs": request.epochs, "seed": request.seed}
    if request.model:
        changes |= {"model": request.model}
    images = len(loaded.frames.labelled("train"))
    config = train_config.choose("default", changes, images=images, kind=Machine().kind)
    return ensemble_trainer.trainer(loaded.frames, loaded.problem, config)


def _epochs(trainer: AnyTrainer, request: Request) -> Iterator[float]:
    """Train; the seconds at the end of each epoch."""
    for _ in trainer.epochs():
        yield request.seconds


def _rows(frames: Frames, asked: list[str]) -> Rows:
    row = {name: number for number, name in enumerate(frames.sample_ids.tolist())}
    return np.array([row[name] for name in asked], np.int64)


def _all_answers(network: nn.Module, loaded: Loaded, rows: Rows) -> list[int]:
    parts = np.array_split(rows, -(-len(rows) // _AT_ONCE))
    return [number for some in parts for number in _answers(network, loaded, some)]


def _answers(network: nn.Module, loaded: Loaded, rows: Rows) -> list[int]:
    pixels = preprocess.to_tensor(loaded.frames.pixels[rows], loaded.problem.preprocess)
    device = next(network.parameters()).device
    logits, _ = network(torch.from_numpy(pixels).to(device))
    return [int(number) for number in logits.argmax(dim=1)]


LEARNERS = {"neuro": train, "neuro_members": members, "neuro_pilot": pilot, "lookup": lookup}


def main(name: str, asked: Path, answer: Path) -> None:
    request = Request(**json.loads(asked.read_text(encoding="utf-8")))
    answer.write_text(json.dumps(LEARNERS[name](request)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
