"""Which rows go into which step, and how images of a step are mixed."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.training.config import TrainConfig
from neuro.training.device import sent

Rows = NDArray[np.int64]
_T = TypeVar("_T")


def split(
    rows: Rows, targets: NDArray[np.int64], config: TrainConfig, generator: torch.Generator
) -> list[Rows]:
    """Full batches of one epoch, in random order; the remainder waits for another epoch.

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
    members: list[Rows] = [rows[targets == target] for target in np.unique(targets)]
    chosen = torch.randint(len(members), (len(rows),), generator=generator).numpy()
    within = torch.rand(len(rows), generator=generator, dtype=torch.float64).numpy()
    sizes = np.array([len(some) for some in members])
    starts = np.cumsum(sizes) - sizes
    drawn: Rows = np.concatenate(members)[starts[chosen] + (within * sizes[chosen]).astype(int)]
    return drawn


def mix(
    images: torch.Tensor, shares: torch.Tensor, config: TrainConfig, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """MixUp or CutMix of a batch with itself (arXiv:1710.09412, 1905.04899); a coin where both.

    images: (n, c, h, w); shares: (n, k) of the classes, mixed alike.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(config, kind) > 0]
    if not kinds:
        return images, shares
    kind = kinds[int(torch.randint(len(kinds), (1,), generator=generator))]
    part = _beta(getattr(config, kind), generator)
    order = sent(torch.randperm(len(images), generator=generator), images.device)
    if kind == "mixup":
        return _between(images, images[order], part), _between(shares, shares[order], part)
    top, left, height, width = _box(images.shape[2], images.shape[3], part, generator)
    cut = images.clone()
    there = (..., slice(top, top + height), slice(left, left + width))
    cut[there] = images[order][there]
    return cut, _between(
        shares, shares[order], 1 - height * width / (images.shape[2] * images.shape[3])
    )


def _between(first: torch.Tensor, second: torch.Tensor, part: float) -> torch.Tensor:
    return part * first + (1 - part) * second


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw of Beta(alpha, alpha); torch's own takes no generator."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _box(
    height: int, width: int, part: float, generator: torch.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a box of the share 1 - part, somewhere inside."""
    sides = [round(full * (1 - part) ** 0.5) for full in (height, width)]
    places = torch.rand(2, generator=generator)
    top, left = (
        int(float(place) * (full - side + 1))
        for place, full, side in zip(places, (height, width), sides, strict=True)
    )
    return top, left, sides[0], sides[1]


def one_late(made: Iterator[_T]) -> Iterator[_T]:
    """Each item when the one after it is made: a GPU has work while an answer of it is read."""
    before = next(made, None)
    for item in made:
        if before is not None:
            yield before
        before = item
    if before is not None:
        yield before
