"""A training in several processes that share each batch, by DDP, each with a Trainer."""

import multiprocessing
import queue
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, NeuroError
from neuro.models.backbone import Network
from neuro.problems.problem import Problem
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Epoch, Trainer


class ParallelTrainer:
    """What a Trainer is to its caller, in ``machine.devices`` processes.

    The same number of processes gives the same weights to the bit on the CPU; another number does
    not: each norms its own part of a batch.
    """

    def __init__(
        self,
        frames: Frames,
        problem: Problem,
        config: TrainConfig,
        weights: Path | None,
        machine: Machine,
    ) -> None:
        """Raises what a Trainer raises, and ConfigError for a batch too small for its devices."""
        if config.batch_size < 2 * machine.devices:
            raise ConfigError(
                f"batch_size {config.batch_size} gives {machine.devices} devices fewer than two "
                "images each; choose a larger --batch-size or fewer --devices"
            )
        self._machine, self._has_idle_weights = machine, config.head_epochs > 0
        # Checks the data before a process starts, and takes the weights when they have ended.
        alone = Machine(device="cpu", precision="f32")
        self._own = Trainer(frames, problem, config, weights, alone.fabric())
        pixels = ""
        if isinstance(frames.pixels, np.memmap):
            # A memory map would be sent whole; its file is opened by each process.
            pixels = str(frames.pixels.filename)
            frames = replace(frames, pixels=frames.pixels[:0])
        # Bound, not passed on: Fabric takes arguments apart, and may not a frozen dataclass.
        self._work = partial(
            _work, frames=frames, pixels=pixels, problem=problem, config=config, weights=weights
        )

    @property
    def network(self) -> Network:
        """The averaged weights, in evaluation mode."""
        return self._own.network

    def epochs(self, checkpoint: Checkpoint | None = None) -> Generator[Epoch]:
        """As Trainer.epochs; an error of any process ends all of them and is raised here."""
        messages = multiprocessing.get_context("spawn").Queue()
        before = multiprocessing.active_children()
        work = partial(self._work, checkpoint=checkpoint, messages=messages)
        with ThreadPoolExecutor(1) as pool:
            launched = pool.submit(self._fabric().launch, work)
            try:
                while not (launched.done() and messages.empty()):
                    with suppress(queue.Empty):
                        message = messages.get(timeout=0.2)
                        if isinstance(message, NeuroError):
                            raise message
                        if isinstance(message, Epoch):
                            yield message
                        else:
                            self._take(message)
            except BaseException:
                for child in set(multiprocessing.active_children()) - set(before):
                    child.kill()
                raise
            launched.result()

    def val_logits(self) -> NDArray[np.float32]:
        """As Trainer.val_logits."""
        return self._own.val_logits()

    def score(self, logits: NDArray[np.float32]) -> tuple[float, float]:
        """As Trainer.score."""
        return self._own.score(logits)

    def _fabric(self) -> Fabric:
        return self._machine.fabric(has_idle_weights=self._has_idle_weights)

    def _take(self, weights: dict[str, NDArray[Any]]) -> None:
        self.network.load_state_dict(
            {name: torch.from_numpy(array) for name, array in weights.items()}
        )


def _work(
    fabric: Fabric,
    *,
    frames: Frames,
    pixels: str,
    problem: Problem,
    config: TrainConfig,
    weights: Path | None,
    checkpoint: Checkpoint | None,
    messages: Any,
) -> None:
    """One process: train its part of each batch; the first sends its epochs, then its weights.

    pixels: the file of the frames' pixels, "" where ``frames`` has them. Weights go as arrays: a
    tensor would be shared with a process that has ended.
    """
    if pixels:
        frames = replace(frames, pixels=np.load(pixels, mmap_mode="r"))
    try:
        trainer = Trainer(frames, problem, config, weights, fabric)
        for epoch in trainer.epochs(checkpoint):
            if fabric.is_global_zero:
                messages.put(epoch)
    except NeuroError as error:
        messages.put(error)
        messages.close()
        messages.join_thread()
        raise
    if fabric.is_global_zero:
        averaged = trainer.network.state_dict()
        messages.put({name: tensor.cpu().numpy() for name, tensor in averaged.items()})


def trainer(
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    weights: Path | None = None,
    machine: Machine | None = None,
) -> Trainer | ParallelTrainer:
    """One process's trainer, or several processes'."""
    machine = machine or Machine()
    if machine.devices > 1:
        return ParallelTrainer(frames, problem, config, weights, machine)
    return Trainer(frames, problem, config, weights, machine.fabric())
