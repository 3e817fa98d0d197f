"""What a training starts from: a file of weights, asked for by a person or by a champion."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from neuro.errors import ConfigError
from neuro.models import backbone as models
from neuro.models import load_weights as files
from neuro.models.load_weights import Report
from neuro.models.package import Card
from neuro.problems.problem import Problem
from tasks.runtime import settings


@dataclass(frozen=True, kw_only=True, slots=True)
class StartWeights:
    """What a backbone starts from: a local file, the hub's file, or neither: at random.

    sha256: what the file's digest must be, "" for any. pretrained: the hub's.
    """

    file: Path | None = None
    sha256: str = ""
    pretrained: bool = False


def find(model: str, problem: Problem, start: StartWeights) -> Path | None:
    """The file to start from, as a copy in the home; None for a random start.

    What is wrong with the request or the file is refused here, before any work.
    """
    models.check(model)
    file = _requested_file(model, start)
    if file is None:
        return None
    report = _loaded_for_trial(file, model, problem)
    return _keep(file, report.sha256) if report else None


def _requested_file(model: str, start: StartWeights) -> Path | None:
    """The hub's file or the local one, of the digest that was given with it; None for neither."""
    if start.pretrained and start.file:
        raise ConfigError("--pretrained takes the hub's weights; give that or --weights FILE")
    file = models.hub_weights(model) if start.pretrained else start.file
    if start.sha256:
        if file is None:
            raise ConfigError("--weights-sha256 goes with --weights FILE")
        files.require(file, start.sha256)
    return file


def _loaded_for_trial(file: Path, model: str, problem: Problem) -> Report | None:
    """What a network of the model reads of a file, for the problem's frames.

    Raises what ``models.build`` raises where the file does not fit.
    """
    with torch.random.fork_rng(devices=[]):  # the network is thrown away, and draws no chance
        n_classes = len(problem.classes)
        return models.build(model, problem.preprocess, n_classes=n_classes, weights=file).start


def of_champion(card: Card) -> Path | None:
    """The file that a champion started from, to start its successor; None for a random start."""
    if not card.weights_sha256:
        return None
    path = _place(card.weights_sha256)
    if not path.is_file():
        raise ConfigError(
            f"the champion started from the weights {card.weights_sha256}, and {path} is not "
            "here; put that file there, or train by hand with neuro train --weights FILE"
        )
    files.require(path, card.weights_sha256)
    return path


def _keep(path: Path, sha256: str) -> Path:
    """A copy that a later training by the same recipe finds, whole or not at all."""
    kept = _place(sha256)
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".new-") as scratch:
            copied = Path(shutil.copy(path, scratch))
            files.require(copied, sha256)
            copied.replace(kept)
    files.require(kept, sha256)
    return kept


def folder() -> Path:
    """Where the files that trainings started from are kept."""
    return settings.load().home / "weights"


def _place(sha256: str) -> Path:
    return folder() / sha256
