"""Fit a network to the train split of frames; the val split is watched, the others are not read."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.evaluation import metrics
from neuro.models import backbone
from neuro.models.load_weights import Report
from neuro.problems.problem import Problem
from neuro.training import augment, batches, losses, optimizer, preconditions
from neuro.training import config as train_config
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine, is_out_of_memory, seed_of, seeded, sent
from neuro.training.loader import Feed

_log = logging.getLogger(__name__)


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
        self._train, self._val = frames.labelled("train"), frames.labelled("val")
        self._frames, self._problem, self._config = frames, problem, config
        self._fabric = fabric or Machine().fabric()
        self._device = self._fabric.device
        self._feed = Feed(frames.pixels, problem.preprocess, self._device)
        self._loss = losses.of(config, counts, self._device)
        with seeded(config.seed, self._device):
            n_classes = len(problem.classes)
            network = backbone.build(
                config.model, problem.preprocess, n_classes=n_classes, weights=weights
            )
        network.averages_mirror = problem.augment.mirror
        network.averages_flip = problem.augment.flip
        self._bare: backbone.Network = network.to(self._device).to(
            memory_format=torch.channels_last
        )
        self._averaged: backbone.Network = (
            deepcopy(self._bare).eval().requires_grad_(requires_grad=False)
        )
        self._moving = _floating(self._averaged), _floating(self._bare)
        self._network, self._optimizer = self._fabric.setup(
            self._bare, optimizer.optimizer(self._bare, config)
        )
        self._at_once = math.ceil(config.batch_size / self._fabric.world_size)
        self._size_px, self._spec = problem.preprocess.size_px, problem.augment
        self._chance = torch.Generator()
        self._step = 0
        self._told: list[Epoch] = []
        self._best: dict[str, torch.Tensor] = {}
        full = problem.preprocess.size_px
        image, first = self._read(self._train[:1]), train_config.side(config, 1, full)
        backbone.check_sides(config.model, self._averaged, image, full=full, first=first)

    @property
    def network(self) -> backbone.Network:
        """The averaged weights, in evaluation mode."""
        return self._averaged

    @property
    def start(self) -> Report | None:
        """What was read of the file that it started from, if there was one."""
        return self._bare.start

    def epochs(self, checkpoint: Checkpoint | None = None) -> Iterator[Epoch]:
        """Train, one epoch per item; stop when it is exhausted.

        checkpoint: kept after each epoch. A run that was killed is continued from there: its epochs
        come first, as they went, and the weights are those of a run that was not, to the bit.
        Raises TrainingError if the loss is no longer finite.
        """
        if checkpoint is not None and (state := checkpoint.load()) is not None:
            self._restore(state)
        yield from self._told
        while not self._is_over():
            self._told.append(self._epoch(len(self._told) + 1))
            self._keep_best()
            if checkpoint is not None and self._fabric.is_global_zero:
                checkpoint.save(self._state())
            yield self._told[-1]
        if self._best:
            self._averaged.load_state_dict(self._best)

    def _epoch(self, number: int) -> Epoch:
        config, start = self._config, time.perf_counter()
        rank, n = self._fabric.global_rank, self._fabric.world_size
        self._size_px = train_config.side(config, number, self._problem.preprocess.size_px)
        self._spec = augment.milder(self._problem.augment, train_config.strength(config, number))
        # One order for all processes; each has views of its own.
        order = torch.Generator().manual_seed(seed_of(config.seed, number))
        self._chance.manual_seed(seed_of(config.seed, number, 1 + rank))
        among = batches.split(self._train, self._frames.targets[self._train], config, order)
        with seeded(seed_of(config.seed, number, 1 + rank), self._device):
            found = self._steps([rows[rank::n] for rows in among], number)
        seconds = time.perf_counter() - start
        accuracy, macro_f1 = self._validate()
        return Epoch(
            number=number,
            epochs=config.epochs,
            loss=found,
            accuracy=accuracy,
            macro_f1=macro_f1,
            learning_rate=self._optimizer.param_groups[0]["lr"],
            images_per_s=len(among) * config.batch_size / seconds,
            seconds=seconds,
            size_px=self._size_px,
            at_once=self._at_once,
        )

    def _is_over(self) -> bool:
        scores = [epoch.macro_f1 for epoch in self._told]
        if not scores or not self._config.patience:
            return len(scores) == self._config.epochs
        stale = len(scores) - 1 - int(np.argmax(scores))
        return stale >= self._config.patience or len(scores) == self._config.epochs

    def _keep_best(self) -> None:
        """With patience, the first averaged weights of the highest macro-F1."""
        scores = [epoch.macro_f1 for epoch in self._told]
        if self._config.patience and np.argmax(scores) == len(scores) - 1:
            self._best = {k: v.clone() for k, v in self._averaged.state_dict().items()}

    def _state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, but for the frames and the config."""
        return {
            "network": self._bare.state_dict(),
            "averaged": self._averaged.state_dict(),
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "at_once": self._at_once,
            "epochs": [asdict(epoch) for epoch in self._told],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._bare.load_state_dict(state["network"])
        self._averaged.load_state_dict(state["averaged"])
        self._best = state["best"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._at_once = state["step"], state["at_once"]
        self._told = [Epoch(**epoch) for epoch in state["epochs"]]

    def _steps(self, among: Sequence[NDArray[np.int64]], epoch: int) -> float:
        """One step for each batch, or this process's part of it; returns the mean of their losses.

        A loss is read when the next step is under way, so that a GPU never waits to be read.
        """
        first, values = self._step + 1, list[float]()
        for loss in batches.one_late(self._fit(rows) for rows in among):
            values.append(float(loss))
            if not math.isfinite(values[-1]):
                names = self._frames.sample_ids[np.sort(among[len(values) - 1])]
                place = f"in epoch {epoch} at step {first + len(values) - 1}"
                raise losses.diverged(values[-1], place, self._config, names.tolist())
        return float(np.mean(values))

    def _fit(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """One step on one batch, or this process's part of it; returns its loss, unread."""
        config = self._config
        rate = optimizer.rate(
            config, self._step, config.epochs * (len(self._train) // config.batch_size)
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images, shares = self._batch(rows)
        self._network.train()
        while True:
            try:
                value = self._descend(images, shares)
                break
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                self._halve(error)
        if config.clip:
            # What is not finite is told where the loss is read, with its samples.
            self._fabric.clip_gradients(
                self._network, self._optimizer, max_norm=config.clip, error_if_nonfinite=False
            )
        self._optimizer.step()
        self._step += 1
        self._average()
        return value

    def _descend(self, images: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Gradients of a batch, summed over as many images at once as fit; returns its loss."""
        self._optimizer.zero_grad(set_to_none=True)
        total = self._loss.weights(shares).sum()
        value = torch.zeros((), device=self._device)
        sizes = [torch.split(whole, self._at_once) for whole in (images, shares)]
        pieces = list(zip(*sizes, strict=True))
        for number, (some, of_them) in enumerate(pieces, 1):
            is_last = number == len(pieces)
            with self._fabric.no_backward_sync(self._network, enabled=not is_last):
                logits, _ = self._network(some)
                loss = self._loss(logits.float(), of_them).sum() / total
                self._fabric.backward(loss)
            value = value + loss.detach()
        return value

    def _halve(self, error: RuntimeError) -> None:
        """Go on with half as many images at once, if it was memory that ran out."""
        is_alone = self._fabric.world_size == 1
        if not (is_out_of_memory(error) and is_alone) or self._at_once == 1:
            raise error
        self._at_once = math.ceil(self._at_once / 2)
        self._optimizer.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        _log.warning(
            "out of memory: from here %d images at once, and steps of %d as before",
            self._at_once,
            self._config.batch_size,
        )

    def _batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of some rows, (n, c, side, side) float32, and their shares of classes, (n, k)."""
        views = augment.view(self._read(rows), self._spec, self._chance, self._size_px)
        targets = torch.from_numpy(self._frames.targets[rows])
        shares = sent(F.one_hot(targets, len(self._problem.classes)).float(), self._device)
        views, shares = batches.mix(views, shares, self._config, self._chance)
        return views.contiguous(memory_format=torch.channels_last), shares

    def _read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return self._feed.images(rows)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the kept weights and batch statistics towards the newest (arXiv:1803.05407)."""
        # Young averages forget faster, or a short run would keep its random start.
        decay = min(self._config.ema_decay, self._step / (self._step + 10))
        torch._foreach_lerp_(*self._moving, 1 - decay)

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """Accuracy and macro-F1 of the averaged weights on the val split, in one pose."""
        targets = self._frames.targets[self._val]
        with self._fabric.autocast():
            pieces = math.ceil(len(self._val) / (4 * self._at_once))
            answers = [
                self._averaged.glance(self._read(rows)).argmax(dim=1).cpu().numpy()
                for rows in np.array_split(self._val, pieces)
            ]
        found = metrics.brief(np.concatenate(answers), targets, len(self._problem.classes))
        # Batch statistics differ by process, and all must agree on when to stop.
        agreed: tuple[float, float] = self._fabric.broadcast(found)
        return agreed


def _floating(network: backbone.Network) -> list[torch.Tensor]:
    """Weights and batch statistics, in place."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
