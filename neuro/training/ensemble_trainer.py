"""The members of an ensemble, trained one after another by one recipe, each from its own seed."""

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.models import backbone, ensemble
from neuro.models.backbone import Network
from neuro.problems.problem import Problem
from neuro.training import distributed
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.distributed import ParallelTrainer
from neuro.training.trainer import Epoch, Trainer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberScore:
    """What a member added: macro-F1 on val, in one pose, alone and with those before it."""

    member: str
    alone: float
    together: float


class EnsembleTrainer:
    """What a Trainer is to its caller, for a model of several members.

    start: what was read of the weights' file. joined: what each that has ended added.
    """

    def __init__(
        self,
        frames: Frames,
        problem: Problem,
        config: TrainConfig,
        weights: Path | None,
        machine: Machine,
    ) -> None:
        """Check the data, and every member by building it; raises what a trainer raises."""
        names = [str(member) for member in ensemble.members(config.model)]
        self._recipes = [
            replace(config, model=name, seed=(config.seed + number) % 2**31)
            for number, name in enumerate(names)
        ]
        self._given = (frames, problem, weights, machine)
        alone = Machine(device="cpu", precision="f32")
        starts = {
            recipe.model: Trainer(frames, problem, recipe, weights, alone.fabric()).network.start
            for recipe in {recipe.model: recipe for recipe in self._recipes}.values()
        }
        self.start = backbone.start_of([starts[recipe.model] for recipe in self._recipes])
        self._networks: list[Network] = []
        self.joined: list[MemberScore] = []

    @property
    def network(self) -> Network:
        """The members that have ended as one, in evaluation mode; one must have."""
        return backbone.join(self._networks).eval()

    def epochs(self, checkpoint: Checkpoint | None = None) -> Generator[Epoch]:
        """As Trainer.epochs, numbered through all members; each has a checkpoint of its own."""
        logits: list[NDArray[np.float32]] = []
        self._networks, self.joined = [], []
        done, planned = 0, sum(recipe.epochs for recipe in self._recipes)
        for number, recipe in enumerate(self._recipes):
            trainer = self._trainer(recipe)
            for epoch in trainer.epochs(checkpoint.part(number) if checkpoint else None):
                done += 1
                yield replace(epoch, number=done, epochs=planned)
            self._networks.append(trainer.network)
            logits.append(trainer.val_logits())
            self._join(trainer, recipe, logits)
            del trainer  # before the next is built: a GPU holds the frames of each

    def _join(
        self,
        trainer: Trainer | ParallelTrainer,
        recipe: TrainConfig,
        logits: Sequence[NDArray[np.float32]],
    ) -> None:
        _, alone = trainer.score(logits[-1])
        _, together = trainer.score(np.mean(logits, axis=0))
        self.joined.append(MemberScore(member=recipe.model, alone=alone, together=together))
        _log.info(
            "member %d of %d, %s: macro-F1 on val %.3f alone, %.3f with those before",
            *(len(logits), len(self._recipes), recipe.model, alone, together),
        )

    def _trainer(self, recipe: TrainConfig) -> Trainer | ParallelTrainer:
        frames, problem, weights, machine = self._given
        return distributed.trainer(frames, problem, recipe, weights, machine)


AnyTrainer = Trainer | ParallelTrainer | EnsembleTrainer


def trainer(
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    weights: Path | None = None,
    machine: Machine | None = None,
) -> AnyTrainer:
    """The trainer of a recipe: of one network, or of the members of an ensemble."""
    machine = machine or Machine()
    if ensemble.is_ensemble(config.model):
        return EnsembleTrainer(frames, problem, config, weights, machine)
    return distributed.trainer(frames, problem, config, weights, machine)
