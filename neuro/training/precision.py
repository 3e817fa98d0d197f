"""In which precision a step of a network is faster on this processor: both are tried.

Depthwise convolutions are slower in bf16 than in f32 on processors that multiply bf16 natively,
plain ones faster, so it is a question of the network too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter

import torch
from torch.nn import functional as F

from neuro.models import backbone, ensemble
from neuro.problems.problem import Problem
from neuro.training.config import TrainConfig
from neuro.training.device import Machine, seeded
from neuro.training.gradient_step import GradientStep
from neuro.training.losses import Loss

TRIED = ("bf16", "f32")
_IMAGES = 8  # of a step
_ROUNDS = 3  # interleaved, after one to warm up
_MARGIN = 1.1  # times as long as f32 takes bf16 before it is left: it needs half the memory


def settled(machine: Machine, config: TrainConfig, problem: Problem) -> Machine:
    """The machine with the faster precision for a recipe, where it is to be found out.

    That is on a CPU with bf16, in one process. Of an ensemble the first member is measured. Raises
    what ``backbone.build`` raises.
    """
    if not is_open(machine):
        return machine
    return replace(machine, precision=faster(seconds(machine, config, problem)))


def is_open(machine: Machine) -> bool:
    """Whether it is to be found out: nobody said it, one process, and a CPU that has bf16."""
    is_asked = machine.precision == "auto" and machine.kind == "cpu" and machine.devices == 1
    return is_asked and machine.is_bf16


def faster(measured: Mapping[str, Sequence[float]]) -> str:
    """The precision to take. measured: seconds of steps, by precision."""
    bf16, f32 = (median(measured[name]) for name in TRIED)
    return "f32" if bf16 > _MARGIN * f32 else "bf16"


def seconds(machine: Machine, config: TrainConfig, problem: Problem) -> dict[str, list[float]]:
    """Seconds of some steps of a recipe's network, by precision; its weights are thrown away."""
    steps = {name: _step(replace(machine, precision=name), config, problem) for name in TRIED}
    spec, k = problem.preprocess, len(problem.classes)
    with seeded(config.seed, torch.device("cpu")):
        images = torch.rand(_IMAGES, spec.channels, spec.size_px, spec.size_px)
        images = images.contiguous(memory_format=torch.channels_last)
        shares = F.one_hot(torch.arange(_IMAGES) % k, k).float()
        measured: dict[str, list[float]] = {name: [] for name in TRIED}
        for number in range(1 + _ROUNDS):
            for name, step in steps.items():
                started = perf_counter()
                step(images, shares)
                if number:
                    measured[name].append(perf_counter() - started)
    return measured


def _step(machine: Machine, config: TrainConfig, problem: Problem) -> GradientStep:
    member = str(ensemble.members(config.model)[0])
    fabric, slow = machine.fabric(), replace(config, model=member, learning_rate=1e-8)
    with seeded(config.seed, fabric.device):
        network = backbone.build(
            member, problem.preprocess, n_classes=len(problem.classes), drop_path=config.drop_path
        )
    plain = Loss(
        kind="plain",
        smoothing=config.label_smoothing,
        class_weights=torch.ones(len(problem.classes), device=fabric.device),
    )
    # The whole schedule is longer than what is measured.
    return GradientStep(network, plain, slow, fabric, n_steps=2 * (1 + _ROUNDS))
