"""Random training views that keep the label; chance comes in as a generator."""

import math
from dataclasses import fields, replace

import torch
import torch.nn.functional as F

from neuro.problems.problem import Augmentation
from neuro.training.device import to_device

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def milder(spec: Augmentation, share: float) -> Augmentation:
    """Every amplitude (rotation, shift, gain ...) times a share from 0 to 1.

    Mirrors and turns upside down stay: they are allowed or not, and have no amplitude.
    """
    weaker = {
        field.name: share * getattr(spec, field.name)
        for field in fields(spec)
        if field.type is float
    }
    return replace(spec, **weaker)


def view(
    batch: torch.Tensor,
    spec: Augmentation,
    generator: torch.Generator,
    size_px: int | None = None,
) -> torch.Tensor:
    """Move each image, then change its colours and its contrast, then blur it and add noise.

    batch: (n, c, h, w) float32; a new tensor is returned, of side ``size_px`` where that is given.
    generator: on the CPU. What moves in from outside repeats the border.
    """
    height, width = (size_px, size_px) if size_px else batch.shape[2:]
    grid = _grid(_affine(batch, spec, generator), height, width)
    views = F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    if (spec.saturation or spec.hue_deg) and batch.shape[1] == len(_GREY):
        views = torch.einsum("nij,njhw->nihw", _colours(batch, spec, generator), views)
    if spec.gamma:
        views = _with_gamma(views, (1 + spec.gamma) ** _signed(batch, generator))
    views = _with_contrast(views, spec, generator)
    if spec.blur_px:
        views = _blurred(views, spec.blur_px * torch.rand(len(batch), generator=generator))
    if spec.noise:
        # A seed drawn on the CPU: a device's own generator would need a state of its own.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        on_device = torch.Generator(batch.device).manual_seed(seed)
        deviation = to_device(
            spec.noise * torch.rand(len(batch), generator=generator), batch.device
        )
        noise = torch.randn(views.shape, generator=on_device, device=batch.device)
        views = views + deviation.reshape(-1, 1, 1, 1) * noise
    return views


def _affine(batch: torch.Tensor, spec: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """(n, 2, 3) maps from where a pixel lands to where it comes from, in grid_sample's -1..1."""
    angle = math.radians(spec.rotate_deg) * _signed(batch, generator)
    size = 1 + spec.scale * _signed(batch, generator)
    across = _sign(batch, generator) if spec.mirror else torch.ones_like(size)
    down = _sign(batch, generator) if spec.flip else torch.ones_like(size)
    shifts = [2 * spec.shift * _signed(batch, generator) for _ in range(2)]
    if spec.crop:
        kept = 1 - spec.crop * (1 + _signed(batch, generator)) / 2
        size = size * kept
        shifts = [shift + (1 - kept) * _signed(batch, generator) for shift in shifts]
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    x = torch.stack([across * cos, -across * sin, shifts[0]], dim=1)
    y = torch.stack([down * sin, down * cos, shifts[1]], dim=1)
    return torch.stack([x, y], dim=1)


def _grid(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, h, w, 2): where each pixel comes from.

    As F.affine_grid, which multiplies matrices and takes nine times as long on a CPU.
    """
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


def _with_contrast(
    images: torch.Tensor, spec: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """Another contrast about the mean, and another mean."""
    contrast = (1 + spec.gain * _signed(images, generator)).reshape(-1, 1, 1, 1)
    brightness = (1 + spec.gain * _signed(images, generator)).reshape(-1, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean * brightness


def _colours(batch: torch.Tensor, spec: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """(n, 3, 3): more or less colour, and a turn of it about the axis of greys (Rodrigues)."""
    grey = torch.tensor(_GREY, device=batch.device).expand(3, 3)
    saturation = (1 + spec.saturation * _signed(batch, generator)).reshape(-1, 1, 1)
    eye = torch.eye(3, device=batch.device)
    angle = (math.radians(spec.hue_deg) * _signed(batch, generator)).reshape(-1, 1, 1)
    turned = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=batch.device) / 3**0.5
    hue = torch.cos(angle) * eye + torch.sin(angle) * turned + (1 - torch.cos(angle)) / 3
    return hue @ (saturation * eye + (1 - saturation) * grey)


def _with_gamma(images: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    """Each image's range bent by a power, its ends kept."""
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    range_ = (images.amax(dim=(1, 2, 3), keepdim=True) - low).clamp_min(1e-6)
    return ((images - low) / range_).pow(exponent.reshape(-1, 1, 1, 1)) * range_ + low


def _blurred(images: torch.Tensor, deviation_px: torch.Tensor) -> torch.Tensor:
    """Each image under a Gaussian of its own, (n,) px; of five pixels, so of at most about 1 px."""
    n, channels, height, width = images.shape
    distance_px = torch.arange(-2.0, 3.0)
    weights = torch.exp(-0.5 * (distance_px / deviation_px.clamp_min(1e-3)[:, None]) ** 2)
    line = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    kernel = to_device(line, images.device)[:, None]
    # Each channel of each image is a group with a kernel of its own.
    blurred = images.reshape(1, n * channels, height, width)
    blurred = F.pad(blurred, (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(blurred, kernel[..., None, :], groups=n * channels)
    blurred = F.conv2d(blurred, kernel[..., None], groups=n * channels)
    return blurred.reshape(images.shape)


def _signed(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(n,) float32, uniform in -1..1."""
    return to_device(2 * torch.rand(len(batch), generator=generator) - 1, batch.device)


def _sign(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(n,) float32, -1 or 1."""
    return to_device(2 * torch.randint(2, (len(batch),), generator=generator) - 1.0, batch.device)
