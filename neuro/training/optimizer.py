"""What a step does with a gradient: how fast it learns, what shrinks, which optimizer."""

import math

import torch
from torch import nn

from neuro.training.config import TrainConfig


def rate(config: TrainConfig, step: int, total: int) -> float:
    """Learning rate of a step: a linear rise, then a cosine to zero (L. Smith, arXiv:1708.07120).

    With schedule "cosine" there is no rise.
    """
    rise = max(1.0, config.warmup * total) if config.schedule == "one_cycle" else 0.0
    if step < rise:
        return config.learning_rate * (step + 1) / (rise + 1)
    part = (step - rise) / max(1.0, total - rise)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * part))


def optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD with Nesterov's momentum, over the network's weights."""
    groups = parameter_groups(network, config.weight_decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, config.learning_rate, fused=True)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices shrink, biases and norms do not (arXiv:1706.05350)."""
    weights = list(network.parameters())
    return [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
