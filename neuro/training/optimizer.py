"""What a step does with a gradient: how fast it learns, what shrinks, which optimizer."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from neuro.training.config import TrainConfig


def schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, n_steps: int) -> LRScheduler:
    """Learning rate by step: a linear rise, then a cosine to zero (L. Smith, arXiv:1708.07120).

    With schedule "cosine" there is no rise. n_steps: of the whole training.
    """
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, n_steps)
    rise = max(1, round(config.warmup * n_steps))
    linear = LinearLR(optimizer, start_factor=1 / (rise + 1), total_iters=rise)
    fall = CosineAnnealingLR(optimizer, max(1, n_steps - rise))
    return SequentialLR(optimizer, [linear, fall], milestones=[rise])


def build(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
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
