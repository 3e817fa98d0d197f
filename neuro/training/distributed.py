"""A training in several processes that share each batch, by DDP, each with a Trainer."""

import multiprocessing
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
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
from neuro.models.load_weights import Report
from neuro.problems.problem import Problem
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Epoch, Trainer


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What every process is given. pixels: where the frames lie, "" for those in ``frames``."""

    frames: Frames
    pixels: str
    problem: Problem
    config: TrainConfig
    weights: Path | None
    checkpoint: Checkpoint | None = None


class Processes:
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
        alone = Machine(device="cpu", precision="f32")
        self._shown = Trainer(frames, problem, config, weights, alone.fabric())
        self._machine = machine
        is_file = isinstance(frames.pixels, np.memmap)
        self._job = Job(
            # A memory map would be sent whole; its file is opened by each process.
            frames=replace(frames, pixels=frames.pixels[:0]) if is_file else frames,
            pixels=str(frames.pixels.filename) if isinstance(frames.pixels, np.memmap) else "",
            problem=problem,
            config=config,
            weights=weights,
        )

    @property
    def network(self) -> Network:
        """The averaged weights, in evaluation mode."""
        return self._shown.network

    @property
    def start(self) -> Report | None:
        """What was read of the file that it started from, if there was one."""
        return self._shown.start

    def epochs(self, checkpoint: Checkpoint | None = None) -> Iterator[Epoch]:
        """As Trainer.epochs; an error of any process ends all of them and is raised here."""
        told = multiprocessing.get_context("spawn").Queue()
        job, before = replace(self._job, checkpoint=checkpoint), multiprocessing.active_children()
        with ThreadPoolExecutor(1) as pool:
            # Bound, not passed on: Fabric takes arguments apart, and may not a frozen dataclass.
            ended = pool.submit(self._machine.fabric().launch, partial(_work, job=job, told=told))
            try:
                while not (ended.done() and told.empty()):
                    with suppress(queue.Empty):
                        heard = told.get(timeout=0.2)
                        if isinstance(heard, NeuroError):
                            raise heard
                        if isinstance(heard, Epoch):
                            yield heard
                        else:
                            self._take(heard)
            except BaseException:
                for child in set(multiprocessing.active_children()) - set(before):
                    child.kill()
                raise
            ended.result()

    def _take(self, weights: dict[str, NDArray[Any]]) -> None:
        self.network.load_state_dict(
            {name: torch.from_numpy(array) for name, array in weights.items()}
        )


def _work(fabric: Fabric, *, job: Job, told: Any) -> None:
    """One process: train its part of each batch; the first tells of its epochs, then its weights.

    These go as arrays: a tensor would be shared with a process that has ended.
    """
    frames = job.frames
    if job.pixels:
        frames = replace(frames, pixels=np.load(job.pixels, mmap_mode="r"))
    trainer = Trainer(frames, job.problem, job.config, job.weights, fabric)
    try:
        for epoch in trainer.epochs(job.checkpoint):
            if fabric.is_global_zero:
                told.put(epoch)
    except NeuroError as error:
        told.put(error)
        told.close()
        told.join_thread()
        raise
    if fabric.is_global_zero:
        kept = trainer.network.state_dict()
        told.put({name: tensor.cpu().numpy() for name, tensor in kept.items()})


def trainer(
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    weights: Path | None = None,
    machine: Machine | None = None,
) -> "Trainer | Processes":
    """One process's trainer, or several processes'."""
    there = machine or Machine()
    if there.devices > 1:
        return Processes(frames, problem, config, weights, there)
    return Trainer(frames, problem, config, weights, there.fabric())
