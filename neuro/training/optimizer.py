"""What a step does with a gradient: how fast it learns, what shrinks, which optimizer."""

from collections import defaultdict
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from neuro.models import stages
from neuro.models.backbone import Network
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


def build(network: Network, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD with Nesterov's momentum, over the network's weights."""
    groups = parameter_groups(network, config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, config.learning_rate, fused=True)


def parameter_groups(network: Network, config: TrainConfig) -> list[dict[str, Any]]:
    """Weights that learn, by how fast and by whether they shrink.

    Matrices shrink, biases and norms do not (arXiv:1706.05350). With layer_decay each stage learns
    slower than the next one, and the head as the recipe says.
    """
    stage_of = stages.of_weights(network.backbone) if config.layer_decay < 1 else {}
    n_stages = 1 + max(stage_of.values(), default=0)
    groups: dict[tuple[int, bool], list[torch.Tensor]] = defaultdict(list)
    for name, weight in network.named_parameters():
        stage = stage_of.get(name.removeprefix("backbone."), n_stages)
        if weight.requires_grad:
            groups[stage, weight.ndim > 1].append(weight)
    return [
        {
            "params": weights,
            "weight_decay": config.weight_decay if shrinks else 0.0,
            "lr": config.learning_rate * config.layer_decay ** (n_stages - stage),
        }
        for (stage, shrinks), weights in sorted(groups.items(), reverse=True)
    ]
