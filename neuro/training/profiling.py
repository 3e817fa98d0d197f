"""Steps of a training that are thrown away: how fast they could be, and where their time goes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter

from torch.profiler import ProfilerActivity, record_function, schedule
from torch.profiler import profile as recorder

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, TrainingError
from neuro.models import ensemble
from neuro.problems.problem import Problem
from neuro.training.config import TrainConfig
from neuro.training.device import Machine, seeded
from neuro.training.trainer import Epoch, Trainer

TRACE, TABLE = "trace.json.gz", "table.txt"
PARTS = ("read rows", "views", "forward and backward", "optimizer", "average")  # of a step
_AT_MOST_S = 1.0  # of a limit
_WARM_UP, _RECORDED = 3, 10  # steps of a profile
_OPERATORS = 25  # rows of its table
_NOTE = (
    "Under the profiler, which slows small operators; each part waits for the device. These steps "
    "are no part of the training."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Images a second: of the median epoch at the largest views, and of its step in memory."""

    full_images_per_s: float
    limit_images_per_s: float
    share_of_limit: float


def pace(
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    machine: Machine,
    epochs: Sequence[Epoch],
) -> Pace:
    """How fast a training of one process was, beside the limit; raises what ``limit`` raises.

    Epochs of the head alone do not count; raises TrainingError where there are no others.
    """
    whole = [epoch for epoch in epochs if epoch.number > config.head_epochs]
    if not whole:
        raise TrainingError("in every epoch the head alone learned, and the limit is of all")
    step_limit = limit(frames, problem, config, machine, epochs[-1])
    size_px = epochs[-1].size_px  # views grow: the last are the largest
    rate = median(epoch.images_per_s for epoch in whole if epoch.size_px == size_px)
    return Pace(
        full_images_per_s=rate, limit_images_per_s=step_limit, share_of_limit=rate / step_limit
    )


def limit(
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    machine: Machine,
    epoch: Epoch | None = None,
    *,
    n_steps: int = 10,
    at_most_s: float = _AT_MOST_S,
) -> float:
    """Images a second of a step on one batch in memory: no data path could be faster.

    epoch: whose size of views, and images at once, are taken; default: the first. From the median
    of so many steps or seconds, after one step to warm up; of one process. Raises what a Trainer
    raises, and RuntimeError where memory does not suffice for a second network.
    """
    trainer = _rehearsal(frames, problem, config, machine)
    if epoch is not None:
        trainer.loader.size_px, trainer.step.at_once = epoch.size_px, epoch.at_once
    started, seconds = perf_counter(), list[float]()
    with seeded(config.seed, trainer.device):
        batch = trainer.loader.batch(trainer.rows(1)[0])
        for number in range(1 + n_steps):
            before = perf_counter()
            trainer.step(*batch).item()  # which waits for a GPU
            if number:
                seconds.append(perf_counter() - before)
            if seconds and perf_counter() - started > at_most_s:
                break
    return config.batch_size / median(seconds)


def check_one_process(machine: Machine, model: str) -> None:
    """Raise ConfigError for several processes, each of which would wait, or several networks."""
    if ensemble.is_ensemble(model):
        raise ConfigError(
            f"--profile records one network, not an ensemble ({model}); give a member"
        )
    if machine.devices > 1:
        raise ConfigError("--profile records one process; give --devices 1, or leave --profile out")


def profile(
    frames: Frames, problem: Problem, config: TrainConfig, machine: Machine, folder: Path
) -> dict[str, float]:
    """Record 10 steps after 3 to warm up; returns the milliseconds of a step by part.

    Writes trace.json.gz (Chrome's format) and table.txt, with the most costly operators. The trace
    holds names and times of operators, and the machine's name; nothing of an image. Raises what a
    Trainer raises, and ConfigError for several processes.
    """
    check_one_process(machine, config.model)
    trainer = _rehearsal(frames, problem, config, machine)
    activities = [ProfilerActivity.CPU]
    if machine.kind == "cuda":
        activities.append(ProfilerActivity.CUDA)
    else:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it calls a missing GPU an error
    planned = schedule(wait=0, warmup=_WARM_UP, active=_RECORDED, repeat=1)
    with (
        seeded(config.seed, trainer.device),
        recorder(activities=activities, schedule=planned) as recorded,
    ):
        for rows in islice(cycle(trainer.rows(1)), _WARM_UP + _RECORDED):
            with record_function("step"):
                trainer.step(*trainer.loader.batch(rows))
            recorded.step()
    parts = _parts(recorded)
    title = f"{config.model}, {_RECORDED} steps of {config.batch_size} images on {machine}"
    lines = [f"{name:24}{ms:12.2f}{ms / parts['step']:10.1%}" for name, ms in parts.items()]
    by_cost = f"self_{'device' if machine.kind == 'cuda' else 'cpu'}_time_total"
    operators = recorded.key_averages().table(sort_by=by_cost, row_limit=_OPERATORS)
    head = f"{'part of a step':24}{'ms':>12}{'share':>10}"
    text = "\n".join([title, _NOTE, "", head, *lines, "", operators])
    folder.mkdir(parents=True, exist_ok=True)
    recorded.export_chrome_trace(str(folder / TRACE))
    (folder / TABLE).write_text(f"{text}\n", encoding="utf-8")
    return parts


def _rehearsal(frames: Frames, problem: Problem, config: TrainConfig, machine: Machine) -> Trainer:
    """A trainer of random weights whose steps are thrown away."""
    # So slow that one batch, again and again, cannot diverge.
    slow = config.changed({"learning_rate": 1e-8})
    trainer = Trainer(frames, problem, slow, fabric=machine.fabric())
    trainer.loader.start_epoch(1, rank=0)
    return trainer


def _parts(recorded: recorder) -> dict[str, float]:
    """Milliseconds of a step, by part, and of the whole."""
    ms = {e.key: e.cpu_time_total / 1000 / _RECORDED for e in recorded.key_averages()}
    parts = {name: ms[name] for name in PARTS}
    return parts | {"rest": ms["step"] - sum(parts.values()), "step": ms["step"]}
