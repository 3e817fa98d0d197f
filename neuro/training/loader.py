"""Frames on their way to the device that reads them, as the bytes they are."""

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.images.preprocess import PreprocessSpec
from neuro.training.device import sent

_log = logging.getLogger(__name__)
_SHARE = 0.4  # of a GPU's free memory that frames may take
_PART = 4096  # frames that are copied there at once


class Feed:
    """Rows of frames as images on a device.

    A GPU is given all frames once, where they leave it most of its memory; else the rows of each
    batch, out of pinned memory, while it still computes the batch before.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], spec: PreprocessSpec, device: torch.device
    ) -> None:
        """pixels: (n, size, size, channels), also memory-mapped."""
        self._pixels, self._spec, self._device = pixels, spec, device
        self._there: torch.Tensor | None = None
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what torch keeps for itself is not free, but would be
            free, _ = torch.cuda.mem_get_info(device)
            if pixels.nbytes <= _SHARE * free:
                self._there = _whole(pixels, device)
            where = "lie on the GPU" if self._there is not None else "go to the GPU by batch"
            _log.info("%d frames, %.1f GB, %s", len(pixels), pixels.nbytes / 1e9, where)

    def images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Some rows, (n, c, size, size) float32 in channels_last, as ``preprocess.to_tensor``."""
        if self._there is not None:
            return scaled(self._there[sent(torch.from_numpy(rows), self._device)], self._spec)
        return scaled(sent(torch.from_numpy(self._pixels[rows]), self._device), self._spec)


def scaled(pixels: torch.Tensor, spec: PreprocessSpec) -> torch.Tensor:
    """What ``preprocess.to_tensor`` makes of (n, size, size, c) uint8, on their own device.

    Equal to the bit for "unit" on the CPU.
    """
    images = pixels.permute(0, 3, 1, 2).float() / 255
    if spec.intensity == "unit":
        return images
    axes = (1, 2, 3)
    mean = images.mean(dim=axes, keepdim=True)
    deviation = images.std(dim=axes, correction=0, keepdim=True)
    return (images - mean) / deviation.clamp_min(1e-3)


def _whole(pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """All frames on the device, without a second copy of them here."""
    there = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), _PART):
        part = np.array(pixels[start : start + _PART])  # of a memory map, whose pages may go again
        there[start : start + _PART] = torch.from_numpy(part)
    return there
