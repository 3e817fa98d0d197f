"""The recipe's rules: how fast a step learns, what shrinks, and what a class weighs."""

import math

import numpy as np
from numpy.typing import NDArray
from torch import nn

_MAX_CLASS_WEIGHT = 4.0


def one_cycle(step: int, total: int, *, peak: float, warmup: float) -> float:
    """Learning rate of a step: a linear rise, then a cosine to zero (L. Smith, arXiv:1708.07120).

    warmup: share of all steps before the peak.
    """
    rise = max(1.0, warmup * total)
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    part = (step - rise) / max(1.0, total - rise)
    return peak * 0.5 * (1 + math.cos(math.pi * part))


def class_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Loss weight of each class: rare ones weigh more, up to a bound, so noise does not rule."""
    return np.asarray(np.minimum(counts.max() / counts, _MAX_CLASS_WEIGHT), dtype=np.float32)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices shrink, biases and norms do not (arXiv:1706.05350)."""
    weights = list(network.parameters())
    return [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
