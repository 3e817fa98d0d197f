"""Fit a network to the train split of frames; the val split is watched, the others are not read."""

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import TrainingError
from neuro.evaluation import metrics
from neuro.models import backbone
from neuro.problems.problem import Problem
from neuro.training import batches, preconditions
from neuro.training import config as train_config
from neuro.training.batches import Rows
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine, seed_of, seeded
from neuro.training.gradient_step import GradientStep
from neuro.training.loader import BatchLoader
from neuro.training.losses import Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """How one epoch went.

    loss: mean over the train split. accuracy, macro_f1: averaged weights on the val split, each
    image in one pose. seconds: without the look at val. size_px: side of the views. at_once: images
    on a device.
    """

    number: int
    epochs: int
    loss: float
    accuracy: float
    macro_f1: float
    learning_rate: float
    images_per_s: float
    seconds: float
    size_px: int
    at_once: int


class Trainer:
    """One training run. The same frames, config and machine give the same weights to the bit.

    Bit equality is promised on the CPU; on CUDA the order of sums is the driver's.
    loader: makes the batches. step: changes the weights by a batch.
    """

    def __init__(
        self,
        frames: Frames,
        problem: Problem,
        config: TrainConfig,
        weights: Path | None = None,
        fabric: Fabric | None = None,
    ) -> None:
        """Check the data and build the network; ``weights`` is what model.build takes.

        fabric: of one process of several, where it was launched; default: this machine's best.
        Raises TrainingError for data that cannot be trained on, SplitOverlapError for a leak,
        ConfigError for a model that does not fit the frames.
        """
        counts = preconditions.check(frames, problem, config)
        self._frames, self._problem, self._config = frames, problem, config
        self._train, self._val = frames.labelled("train"), frames.labelled("val")
        self._fabric = fabric or Machine().fabric()
        self.device = self._fabric.device
        self.loader = BatchLoader(frames, problem, config, self.device)
        with seeded(config.seed, self.device):
            network = backbone.build(
                config.model,
                problem.preprocess,
                n_classes=len(problem.classes),
                weights=weights,
                drop_path=config.drop_path,
            )
        network.averages_mirror = problem.augment.mirror
        network.averages_flip = problem.augment.flip
        self.step = GradientStep(
            network,
            Loss.of(config, counts, self.device),
            config,
            self._fabric,
            n_steps=config.epochs * (len(self._train) // config.batch_size),
        )
        self._epochs: list[Epoch] = []
        self._best: dict[str, torch.Tensor] = {}
        full = problem.preprocess.size_px
        image, first = self.loader.images(self._train[:1]), train_config.side(config, 1, full)
        backbone.check_sides(config.model, self.network, image, full=full, first=first)

    @property
    def network(self) -> backbone.Network:
        """The averaged weights, in evaluation mode."""
        return self.step.averaged

    def epochs(self, checkpoint: Checkpoint | None = None) -> Generator[Epoch]:
        """Train, one epoch per item; stop when it is exhausted.

        checkpoint: kept after each epoch. A run that was killed is continued from there: its epochs
        come first, as they went, and the weights are those of a run that was not, to the bit.
        Raises TrainingError if the loss is no longer finite.
        """
        state = checkpoint.load() if checkpoint is not None else None
        if state is not None:
            self._restore(state)
        yield from self._epochs
        while not self._is_over():
            self._epochs.append(self._epoch(len(self._epochs) + 1))
            self._keep_best()
            if checkpoint is not None and self._fabric.is_global_zero:
                checkpoint.save(self._state())
            yield self._epochs[-1]
        if self._best:
            self.network.load_state_dict(self._best)

    def rows(self, epoch: int) -> list[Rows]:
        """The rows of each batch of an epoch, in the same order for all processes."""
        order = torch.Generator().manual_seed(seed_of(self._config.seed, epoch))
        targets = self._frames.targets[self._train]
        return batches.split(self._train, targets, self._config, order)

    def _epoch(self, number: int) -> Epoch:
        config, started = self._config, time.perf_counter()
        rank, n_processes = self._fabric.global_rank, self._fabric.world_size
        rows = self.rows(number)
        self.loader.start_epoch(number, rank)
        self.step.start_epoch(number)
        with seeded(seed_of(config.seed, number, 1 + rank), self.device):
            loss = self._steps([batch[rank::n_processes] for batch in rows], number)
        seconds = time.perf_counter() - started
        accuracy, macro_f1 = self._validate()
        return Epoch(
            number=number,
            epochs=config.epochs,
            loss=loss,
            accuracy=accuracy,
            macro_f1=macro_f1,
            learning_rate=self.step.learning_rate,
            images_per_s=len(rows) * config.batch_size / seconds,
            seconds=seconds,
            size_px=self.loader.size_px,
            at_once=self.step.at_once,
        )

    def _steps(self, rows: Sequence[Rows], epoch: int) -> float:
        """One step for each batch, or this process's part of it; returns the mean of their losses.

        A loss is read when the next step is under way, so that a GPU never waits to be read.
        """
        first_step, values = self.step.steps_done + 1, list[float]()
        losses = (self.step(*self.loader.batch(batch)) for batch in rows)
        for loss in batches.delayed_by_one(losses):
            values.append(float(loss))
            if not math.isfinite(values[-1]):
                place = f"in epoch {epoch} at step {first_step + len(values) - 1}"
                raise self._diverged(values[-1], place, rows[len(values) - 1])
        return float(np.mean(values))

    def _diverged(self, loss: float, place: str, rows: Rows) -> TrainingError:
        """The error of a loss that is not finite, with the samples of its batch."""
        names = self._frames.sample_ids[np.sort(rows)].tolist()
        return TrainingError(
            f"the loss is {loss} {place}; lower learning_rate (now {self._config.learning_rate}) "
            f"and start again. The batch held the samples {', '.join(n[:12] for n in names)}"
        )

    def _is_over(self) -> bool:
        scores = [epoch.macro_f1 for epoch in self._epochs]
        if len(scores) == self._config.epochs:
            return True
        if not scores or not self._config.patience:
            return False
        epochs_since_best = len(scores) - 1 - int(np.argmax(scores))
        return epochs_since_best >= self._config.patience

    def _keep_best(self) -> None:
        """With patience, the first averaged weights of the highest macro-F1."""
        scores = [epoch.macro_f1 for epoch in self._epochs]
        if self._config.patience and np.argmax(scores) == len(scores) - 1:
            self._best = {k: v.clone() for k, v in self.network.state_dict().items()}

    def _state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, but for the frames and the config."""
        epochs = [asdict(epoch) for epoch in self._epochs]
        return self.step.state() | {"best": self._best, "epochs": epochs}

    def _restore(self, state: dict[str, Any]) -> None:
        self.step.restore(state)
        self._best = state["best"]
        self._epochs = [Epoch(**epoch) for epoch in state["epochs"]]

    @torch.no_grad()
    def val_logits(self) -> NDArray[np.float32]:
        """Logits of the averaged weights on the val split, (m, k), in one pose."""
        n_parts = math.ceil(len(self._val) / (4 * self.step.at_once))
        with self._fabric.autocast():
            answers = [
                self.network.glance(self.loader.images(rows)).float().cpu().numpy()
                for rows in np.array_split(self._val, n_parts)
            ]
        return np.concatenate(answers)

    def score(self, logits: NDArray[np.float32]) -> tuple[float, float]:
        """Accuracy and macro-F1 of logits on the val split, (m, k)."""
        targets = self._frames.targets[self._val]
        return metrics.brief(logits.argmax(axis=1), targets, len(self._problem.classes))

    def _validate(self) -> tuple[float, float]:
        scores = self.score(self.val_logits())
        # Batch statistics differ by process, and all must agree on when to stop.
        agreed: tuple[float, float] = self._fabric.broadcast(scores)
        return agreed
