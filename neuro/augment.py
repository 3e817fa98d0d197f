"""Random training views that keep the label; chance comes in as a generator.

No blur and no noise: a new scanner must stay visible to the drift report.
"""

import math

import torch
import torch.nn.functional as F

from neuro.problem import Augmentation


def view(batch: torch.Tensor, spec: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Mirror, turn, scale and shift each image, then change its contrast and brightness.

    batch: (n, c, h, w) float32; a new tensor of the same shape is returned. generator: on the CPU.
    What moves in from outside repeats the border.
    """
    grid = _grid(_affine(batch, spec, generator), *batch.shape[2:])
    moved = F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    contrast, brightness = (
        (1 + spec.gain * _signed(batch, generator)).reshape(-1, 1, 1, 1) for _ in range(2)
    )
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    return (moved - mean) * contrast + mean * brightness


def _affine(batch: torch.Tensor, spec: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """(n, 2, 3) maps from where a pixel lands to where it comes from, in grid_sample's -1..1."""
    angle = math.radians(spec.rotate_deg) * _signed(batch, generator)
    size = 1 + spec.scale * _signed(batch, generator)
    across = _sign(batch, generator) if spec.mirror else torch.ones_like(size)
    down = _sign(batch, generator) if spec.flip else torch.ones_like(size)
    shifts = [2 * spec.shift * _signed(batch, generator) for _ in range(2)]
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    rows = (
        torch.stack([across * cos, -across * sin, shifts[0]], dim=1),
        torch.stack([down * sin, down * cos, shifts[1]], dim=1),
    )
    return torch.stack(rows, dim=1)


def _grid(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, h, w, 2): where each pixel comes from; F.affine_grid without products of matrices."""
    across, down = _centres(width, maps), _centres(height, maps)
    grid = maps.new_empty(len(maps), height, width, 2)
    for axis in range(2):
        along, aside, shift = maps[:, axis, :, None].unbind(1)
        torch.add(
            (along * across + shift)[:, None, :], (aside * down)[:, :, None], out=grid[..., axis]
        )
    return grid


def _centres(pixels: int, like: torch.Tensor) -> torch.Tensor:
    """Centres of a line of pixels in grid_sample's -1..1, corners not aligned."""
    return (2 * torch.arange(pixels, dtype=like.dtype, device=like.device) + 1) / pixels - 1


def _signed(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(n,) float32, uniform in -1..1."""
    return (2 * torch.rand(len(batch), generator=generator) - 1).to(batch.device)


def _sign(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(n,) float32, -1 or 1."""
    return (2 * torch.randint(2, (len(batch),), generator=generator) - 1.0).to(batch.device)
