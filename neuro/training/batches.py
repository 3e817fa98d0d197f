"""Which rows go into which step, and how the images of a step are mixed."""

from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.training.config import TrainConfig

Rows = NDArray[np.int64]
T = TypeVar("T")
Batch = tuple[torch.Tensor, torch.Tensor]  # images, and their shares of the classes


def split(
    rows: Rows, targets: NDArray[np.int64], config: TrainConfig, generator: torch.Generator
) -> list[Rows]:
    """Full batches of one epoch, in random order; the remainder is left out of this one.

    targets: (n,) of the rows. Balanced: each place is drawn from a class that is drawn first, so a
    row may come twice or not at all.
    """
    if config.sampler == "balanced":
        order = _balanced(rows, targets, generator)
    else:
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
    n_full = len(order) // config.batch_size
    return np.split(order[: n_full * config.batch_size], n_full)


def _balanced(rows: Rows, targets: NDArray[np.int64], generator: torch.Generator) -> Rows:
    _, which, counts = np.unique(targets, return_inverse=True, return_counts=True)
    weights = torch.from_numpy(1 / counts[which])
    drawn = torch.multinomial(weights, len(rows), replacement=True, generator=generator)
    balanced: Rows = rows[drawn.numpy()]
    return balanced


def mixing(config: TrainConfig) -> Callable[[torch.Tensor, torch.Tensor], Batch] | None:
    """MixUp or CutMix of a batch with itself (arXiv:1710.09412, 1905.04899); a coin where both.

    None where neither is asked for. Takes images (n, c, h, w) and shares (n, k); draws from torch's
    own generator, which the caller seeds.
    """
    if not config.mixup and not config.cutmix:
        return None
    from torchvision.transforms import v2  # a second to import, and few recipes mix

    kinds = []
    if config.mixup:
        kinds.append(v2.MixUp(alpha=config.mixup))
    if config.cutmix:
        kinds.append(v2.CutMix(alpha=config.cutmix))
    mix: Callable[[torch.Tensor, torch.Tensor], Batch] = v2.RandomChoice(kinds)
    return mix


def delayed_by_one(items: Iterator[T]) -> Iterator[T]:
    """Each item once the one after it is made: a GPU has work while an answer of it is read."""
    return (item for item, _ in pairwise(chain(items, [None])) if item is not None)
