"""Steps of a training that are thrown away: how fast they could be, and where their time goes."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, record_function, schedule
from torch.profiler import profile as recorder

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError
from neuro.problems.problem import Problem
from neuro.training import batches
from neuro.training.config import TrainConfig
from neuro.training.device import Machine, seed_of, seeded
from neuro.training.trainer import Epoch, Trainer

TRACE, TABLE = "trace.json.gz", "table.txt"
_AT_MOST = 10  # steps of a limit
_AT_MOST_S = 1.0
_WARM_UP, _RECORDED = 3, 10  # steps of a profile
_OPERATORS = 25  # rows of its table
_NOTE = (
    "Under the profiler, which slows small operators; each part waits for the device. These steps "
    "are no part of the training."
)


class Rehearsal(Trainer):
    """A Trainer of random weights whose steps are thrown away."""

    def steps(self) -> Iterator[float]:
        """Steps without end, as those of the first epoch; seconds of each."""
        seed = seed_of(self._config.seed, 1)
        order = torch.Generator().manual_seed(seed)
        targets = self._frames.targets[self._train]
        for rows in cycle(batches.split(self._train, targets, self._config, order)):
            self._step = 0  # the rate of the first: one batch again and again must not diverge
            start = perf_counter()
            with seeded(seed, self._device):
                self._fit(rows)
            self._wait()
            yield perf_counter() - start

    def like(self, epoch: Epoch) -> None:
        """Take views of the side, and as many images at once, as an epoch."""
        self._size_px, self._at_once = epoch.size_px, epoch.at_once

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class InMemory(Rehearsal):
    """The same step, always on one batch that is there already."""

    _held: tuple[torch.Tensor, torch.Tensor] | None = None

    def _batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        if self._held is None:
            self._held = super()._batch(rows)
        return self._held


def limit(
    frames: Frames, problem: Problem, config: TrainConfig, machine: Machine, epoch: Epoch
) -> float:
    """Images a second of an epoch's step on one batch in memory: no data path could be faster.

    From the median step of at most 10, or 1 s, after one to warm up; of one process. Raises what a
    Trainer raises, and RuntimeError where memory does not suffice for a second network.
    """
    trial = InMemory(frames, problem, config, fabric=machine.fabric())
    trial.like(epoch)
    started, seconds = perf_counter(), []
    for number, taken in enumerate(islice(trial.steps(), 1 + _AT_MOST)):
        if number:
            seconds.append(taken)
        if seconds and perf_counter() - started > _AT_MOST_S:
            break
    return config.batch_size / median(seconds)


def alone(machine: Machine) -> None:
    """Raise ConfigError for several processes, each of which would wait for the others."""
    if machine.devices > 1:
        raise ConfigError("--profile records one process; give --devices 1, or leave --profile out")


class Parts(Rehearsal):
    """The same step, with its parts named to the profiler."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]
        self._optimizer.optimizer.register_step_post_hook(lambda *_: self._wait())

    def _fit(self, rows: NDArray[np.int64]) -> torch.Tensor:
        with record_function("step"):
            return super()._fit(rows)

    def _read(self, rows: NDArray[np.int64]) -> torch.Tensor:
        with record_function("read rows"):
            found = super()._read(rows)
            self._wait()
            return found

    def _batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        with record_function("batch"):
            found = super()._batch(rows)
            self._wait()
            return found

    def _descend(self, images: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        with record_function("forward and backward"):
            value = super()._descend(images, shares)
            self._wait()
            return value

    def _average(self) -> None:
        with record_function("average"):
            super()._average()
            self._wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Where the time of a step went, in ms by part, and the most costly operators as a table."""

    title: str
    parts: Mapping[str, float]
    operators: str

    def __str__(self) -> str:
        whole = sum(self.parts.values())
        rows = [f"{name:24}{ms:12.2f}{ms / whole:10.1%}" for name, ms in self.parts.items()]
        head = [self.title, _NOTE, "", f"{'part of a step':24}{'ms':>12}{'share':>10}"]
        return "\n".join([*head, *rows, f"{'whole step':24}{whole:12.2f}", "", self.operators])


def profile(
    frames: Frames, problem: Problem, config: TrainConfig, machine: Machine, folder: Path
) -> Profile:
    """Record 10 steps after 3 to warm up; writes trace.json.gz (Chrome's format) and table.txt.

    The trace holds names and times of operators, and the machine's name; nothing of an image.
    Raises what a Trainer raises, and ConfigError for several processes.
    """
    alone(machine)
    trial = Parts(frames, problem, config, fabric=machine.fabric())
    kinds = [ProfilerActivity.CPU]
    if machine.kind == "cuda":
        kinds.append(ProfilerActivity.CUDA)
    else:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it calls a missing GPU an error
    planned = schedule(wait=0, warmup=_WARM_UP, active=_RECORDED, repeat=1)
    with recorder(activities=kinds, schedule=planned) as recorded:
        for _ in islice(trial.steps(), _WARM_UP + _RECORDED):
            recorded.step()
    by_cost = f"self_{'device' if machine.kind == 'cuda' else 'cpu'}_time_total"
    found = Profile(
        title=f"{config.model}, {_RECORDED} steps of {config.batch_size} images on {machine}",
        parts=_parts(recorded),
        operators=recorded.key_averages().table(sort_by=by_cost, row_limit=_OPERATORS),
    )
    folder.mkdir(parents=True, exist_ok=True)
    recorded.export_chrome_trace(str(folder / TRACE))
    (folder / TABLE).write_text(f"{found}\n", encoding="utf-8")
    return found


def _parts(recorded: recorder) -> dict[str, float]:
    """Milliseconds a step, by part."""
    taken: dict[str, float] = {}
    for event in recorded.key_averages():
        name = "optimiser" if event.key.startswith("Optimizer.step") else event.key
        taken[name] = taken.get(name, 0.0) + event.cpu_time_total / 1000 / _RECORDED
    parts = {
        "read rows": taken["read rows"],
        "views": taken["batch"] - taken["read rows"],
        "forward and backward": taken["forward and backward"],
        "optimiser": taken["optimiser"],
        "average": taken["average"],
    }
    return parts | {"rest": taken["step"] - sum(parts.values())}
