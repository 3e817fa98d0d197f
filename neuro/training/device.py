"""Where a training runs, by Lightning Fabric: which device, at which precision, in how many."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.autograd import profiler

from neuro import limits
from neuro.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "bf16", "f32")


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Device and precision of a training. devices: so many processes share each batch (DDP).

    precision: "auto" is bf16 where the device multiplies it natively; elsewhere bf16 is ten times
    slower. Whether a network is faster in it there: see ``precision.settled``. Raises ConfigError
    for what is not there.
    """

    device: str = "auto"
    devices: int = 1
    precision: str = "auto"

    def __post_init__(self) -> None:
        limits.among(self, {"device": DEVICES, "precision": PRECISIONS})
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "device is cuda, and torch finds none here; see that `nvidia-smi` answers (in a "
                "container: --gpus all), give --device cpu, or start a worker where there is one "
                "(docs/gpu.md)"
            )
        most = torch.cuda.device_count() if self.kind == "cuda" else os.cpu_count() or 1
        if not 1 <= self.devices <= most:
            raise ConfigError(f"--devices must be 1 to {most} on this machine, got {self.devices}")

    @property
    def kind(self) -> str:
        """The device's kind: "cuda" or "cpu"."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def is_bf16(self) -> bool:
        """Whether products are of bfloat16."""
        if self.precision != "auto":
            return self.precision == "bf16"
        if self.kind == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return has_bf16_cpu()

    def fabric(self, *, has_idle_weights: bool = False) -> Fabric:
        """One process's or, to be launched, several processes' Fabric.

        has_idle_weights: whether some of a network's do not learn in some steps.
        """
        spawned = DDPStrategy(start_method="spawn", find_unused_parameters=has_idle_weights)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # we say what runs
        return Fabric(
            accelerator=self.kind,
            devices=self.devices,
            strategy=spawned if self.devices > 1 else "auto",
            precision="bf16-mixed" if self.is_bf16 else "32-true",
        )

    def __str__(self) -> str:
        if self.kind == "cuda":
            name = torch.cuda.get_device_name()
        else:
            name = f"CPU, {torch.get_num_threads()} threads"
        times = f"{self.devices} x " if self.devices > 1 else ""
        return f"{times}{name}, {'bf16' if self.is_bf16 else 'f32'}"


def has_bf16_cpu() -> bool:
    """Whether the processor multiplies bfloat16 natively."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def seed_of(*parts: int) -> int:
    """One seed of several numbers; close ones are far apart."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators in the block only; initial weights and dropout use them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; a GPU goes on with what it computes meanwhile."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


@contextmanager
def part(name: str, device: torch.device) -> Iterator[None]:
    """A part of a step, named to torch's profiler where that records, and then waited for."""
    if not profiler._is_profiler_enabled:
        yield
        return
    with profiler.record_function(name):
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it was memory that ran out, as torch's allocators and cuBLAS say it."""
    phrases = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(p in str(error) for p in phrases)
