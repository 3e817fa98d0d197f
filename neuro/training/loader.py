"""Batches of frames on the device: sent there as bytes, then scaled, augmented and mixed."""

import logging

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.images.preprocess import PreprocessSpec
from neuro.problems.problem import Problem
from neuro.training import augment, batches
from neuro.training import config as train_config
from neuro.training.batches import Batch
from neuro.training.config import TrainConfig
from neuro.training.device import part, seed_of, to_device

_log = logging.getLogger(__name__)
_SHARE = 0.4  # of a GPU's free memory that frames may take
_PART = 4096  # frames that are copied there at once


class FrameReader:
    """Rows of frames as images on a device.

    A GPU is given all frames once, where they leave it most of its memory; else the rows of each
    batch, out of pinned memory, while it still computes the batch before.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], spec: PreprocessSpec, device: torch.device
    ) -> None:
        """pixels: (n, size, size, channels), also memory-mapped."""
        self._pixels, self._spec, self._device = pixels, spec, device
        self._on_gpu: torch.Tensor | None = None
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what torch keeps for itself is not free, but would be
            free, _ = torch.cuda.mem_get_info(device)
            if pixels.nbytes <= _SHARE * free:
                self._on_gpu = _whole(pixels, device)
            where = "lie on the GPU" if self._on_gpu is not None else "go to the GPU by batch"
            _log.info("%d frames, %.1f GB, %s", len(pixels), pixels.nbytes / 1e9, where)

    def images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Some rows, (n, c, size, size) float32 in channels_last, as ``preprocess.to_tensor``."""
        if self._on_gpu is not None:
            return scaled(self._on_gpu[to_device(torch.from_numpy(rows), self._device)], self._spec)
        return scaled(to_device(torch.from_numpy(self._pixels[rows]), self._device), self._spec)


class BatchLoader:
    """Batches as a training reads them: random views of the frames, in the epoch's size."""

    def __init__(
        self, frames: Frames, problem: Problem, config: TrainConfig, device: torch.device
    ) -> None:
        self._frames, self._problem, self._config, self._device = frames, problem, config, device
        self._reader = FrameReader(frames.pixels, problem.preprocess, device)
        self._mix = batches.mixing(config)
        self._views, self._chance = problem.augment, torch.Generator()
        self.size_px = problem.preprocess.size_px

    def start_epoch(self, epoch: int, rank: int) -> None:
        """Take the size and the strength of views of an epoch, and its chance for this process."""
        strength = train_config.strength(self._config, epoch)
        self._views = augment.milder(self._problem.augment, strength)
        self.size_px = train_config.side(self._config, epoch, self._problem.preprocess.size_px)
        self._chance.manual_seed(seed_of(self._config.seed, epoch, 1 + rank))

    def images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Some rows as they are, (n, c, size, size) float32."""
        return self._reader.images(rows)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Views of some rows, (n, c, side, side) float32, and their shares of classes, (n, k)."""
        with part("read rows", self._device):
            images = self.images(rows)
        with part("views", self._device):
            views = augment.view(images, self._views, self._chance, self.size_px)
            targets = torch.from_numpy(self._frames.targets[rows])
            shares = to_device(F.one_hot(targets, len(self._problem.classes)).float(), self._device)
            if self._mix is not None:
                views, shares = self._mix(views, shares)
            return views.contiguous(memory_format=torch.channels_last), shares


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
    copied = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), _PART):
        some = np.array(pixels[start : start + _PART])  # of a memory map, whose pages may go again
        copied[start : start + _PART] = torch.from_numpy(some)
    return copied
