"""Fit a network to the train split of frames; the val split is watched, the others are not read."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from neuro import augment, metrics, model, preprocess, readiness, recipe
from neuro.checkpoint import Checkpoint
from neuro.errors import ConfigError, TrainingError
from neuro.frames import Frames
from neuro.problem import Problem
from neuro.weights import Report

_BF16_CPU = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The recipe: AdamW, one learning-rate cycle, averaged weights.

    learning_rate: the peak, reached after ``warmup`` (a share of all steps). ema_decay: per step,
    of the averaged weights that are kept.
    """

    model: str = model.DEFAULT
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    warmup: float = 0.2
    label_smoothing: float = 0.05
    ema_decay: float = 0.998
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("epochs", self.epochs, 1, 10_000),
            ("batch_size", self.batch_size, 2, 65_536),
            ("learning_rate", self.learning_rate, 1e-8, 10),
            ("weight_decay", self.weight_decay, 0, 10),
            ("warmup", self.warmup, 0, 0.9),
            ("label_smoothing", self.label_smoothing, 0, 0.9),
            ("ema_decay", self.ema_decay, 0, 0.99999),
            ("seed", self.seed, 0, 2**31),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{name} must be {low} to {high}, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """How one epoch went.

    loss: mean over the train split. accuracy, macro_f1: averaged weights on the val split.
    seconds: without the look at val.
    """

    number: int
    epochs: int
    loss: float
    accuracy: float
    macro_f1: float
    learning_rate: float
    images_per_s: float
    seconds: float


class Trainer:
    """One training run. The same frames, config and machine give the same weights to the bit.

    Bit equality is promised on the CPU; on CUDA the order of sums is the driver's.
    """

    def __init__(
        self, frames: Frames, problem: Problem, config: TrainConfig, weights: Path | None = None
    ) -> None:
        """Check the data and build the network; ``weights`` is what model.build takes.

        Raises TrainingError for data that cannot be trained on, SplitOverlapError for a leak,
        ConfigError for a model that does not fit the frames.
        """
        counts = readiness.check(frames, problem)
        self._train, self._val = frames.labelled("train"), frames.labelled("val")
        self._frames, self._problem, self._config = frames, problem, config
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with _seeded(config.seed, self._device):
            network = model.build(
                config.model,
                channels=problem.preprocess.channels,
                n_classes=len(problem.classes),
                weights=weights,
            )
        network.averages_mirror = problem.augment.mirror
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._averaged: model.Network = (
            deepcopy(self._network).eval().requires_grad_(requires_grad=False)
        )
        self._moving = _floating(self._averaged), _floating(self._network)
        self._class_weights = torch.from_numpy(recipe.class_weights(counts)).to(self._device)
        self._optimizer = torch.optim.AdamW(
            recipe.parameter_groups(self._network, config.weight_decay),
            lr=config.learning_rate,
            fused=True,
        )
        self._generator = torch.Generator().manual_seed(config.seed)
        self._step = 0
        self._told: list[Epoch] = []
        self._check_size()

    @property
    def network(self) -> model.Network:
        """The averaged weights, in evaluation mode."""
        return self._averaged

    @property
    def start(self) -> Report | None:
        """What was read of the file that it started from, if there was one."""
        return self._network.start

    def epochs(self, checkpoint: Checkpoint | None = None) -> Iterator[Epoch]:
        """Train, one epoch per item; stop when it is exhausted.

        checkpoint: kept after each epoch. A run that was killed is continued from there: its epochs
        come first, as they went, and the weights are those of a run that was not, to the bit.
        Raises TrainingError if the loss is no longer finite.
        """
        if checkpoint is not None and (state := checkpoint.load()) is not None:
            self._restore(state)
        yield from self._told
        for number in range(len(self._told) + 1, self._config.epochs + 1):
            start = time.perf_counter()
            with _seeded(self._config.seed + number, self._device):
                losses = [self._fit(rows, number) for rows in self._batches()]
            seconds = time.perf_counter() - start
            accuracy, macro_f1 = self._validate()
            epoch = Epoch(
                number=number,
                epochs=self._config.epochs,
                loss=float(np.mean(losses)),
                accuracy=accuracy,
                macro_f1=macro_f1,
                learning_rate=self._optimizer.param_groups[0]["lr"],
                images_per_s=len(losses) * self._batch_size / seconds,
                seconds=seconds,
            )
            self._told.append(epoch)
            if checkpoint is not None:
                checkpoint.save(self._state())
            yield epoch

    def _state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, but for the frames and the config."""
        return {
            "network": self._network.state_dict(),
            "averaged": self._averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "order": self._generator.get_state(),
            "step": self._step,
            "epochs": [asdict(epoch) for epoch in self._told],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        self._averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["order"])
        self._step = state["step"]
        self._told = [Epoch(**epoch) for epoch in state["epochs"]]

    @property
    def _batch_size(self) -> int:
        return min(self._config.batch_size, len(self._train))

    def _batches(self) -> list[NDArray[np.int64]]:
        """Row numbers of each full batch, shuffled; the remainder waits for another epoch."""
        order = self._train[torch.randperm(len(self._train), generator=self._generator).numpy()]
        n_full = len(order) // self._batch_size
        return np.split(order[: n_full * self._batch_size], n_full)

    def _fit(self, rows: NDArray[np.int64], epoch: int) -> float:
        """One step on one batch; returns its loss."""
        rate = self._learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images, targets = self._batch(rows)
        self._network.train()
        with _fast(self._device):
            logits, _ = self._network(images)
        loss = F.cross_entropy(
            logits.float(),
            targets,
            weight=self._class_weights,
            label_smoothing=self._config.label_smoothing,
        )
        value = float(loss.detach())
        if not math.isfinite(value):
            among = ", ".join(str(name)[:12] for name in self._frames.sample_ids[np.sort(rows)])
            raise TrainingError(
                f"the loss is {value} in epoch {epoch} at step {self._step + 1}; lower "
                f"learning_rate (now {self._config.learning_rate}) and start again. The batch held "
                f"the samples {among}"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._step += 1
        self._average()
        return value

    def _batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of some rows, (n, c, size, size) float32, and targets, (n,), on the device."""
        views = augment.view(self._images(rows), self._problem.augment, self._generator)
        targets = torch.from_numpy(self._frames.targets[rows]).to(self._device)
        return views.contiguous(memory_format=torch.channels_last), targets

    def _learning_rate(self) -> float:
        config, total = self._config, self._config.epochs * (len(self._train) // self._batch_size)
        return recipe.one_cycle(self._step, total, peak=config.learning_rate, warmup=config.warmup)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the kept weights and batch statistics towards the newest (arXiv:1803.05407)."""
        # Young averages forget faster, or a short run would keep its random start.
        decay = min(self._config.ema_decay, self._step / (self._step + 10))
        torch._foreach_lerp_(*self._moving, 1 - decay)

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """Accuracy and macro-F1 of the averaged weights on the val split."""
        targets = self._frames.targets[self._val]
        with _fast(self._device):
            answers = [
                self._averaged(self._images(rows))[0].argmax(dim=1).cpu().numpy()
                for rows in np.array_split(self._val, math.ceil(len(self._val) / 256))
            ]
        return _scores(np.concatenate(answers), targets, len(self._problem.classes))

    def _images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(n, c, size, size) float32 of some rows, on the device."""
        pixels = preprocess.to_tensor(self._frames.pixels[rows], self._problem.preprocess)
        return torch.from_numpy(pixels).to(self._device, memory_format=torch.channels_last)

    @torch.no_grad()
    def _check_size(self) -> None:
        """Some architectures read one size only: find out before the first step."""
        try:
            self._averaged(self._images(self._train[:1]))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"model {self._config.model!r} cannot read frames of "
                f"{self._problem.preprocess.size_px} px ({str(error)[:120]}); change "
                "preprocess.size_px in the problem file or choose another model"
            ) from error


def _floating(network: model.Network) -> list[torch.Tensor]:
    """Weights and batch statistics, in place."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def _scores(
    answers: NDArray[np.int64], targets: NDArray[np.int64], n_classes: int
) -> tuple[float, float]:
    """Accuracy, and the mean F1 of the classes among the targets."""
    table = metrics.confusion(targets, answers, n_classes)
    correct, asked = np.diag(table), table.sum(axis=1)
    f1 = 2 * correct / np.maximum(asked + table.sum(axis=0), 1)
    return float(correct.sum() / asked.sum()), float(f1[asked > 0].mean())


def _fast(device: torch.device) -> torch.autocast:
    """Autocast to bf16 where the machine computes it natively; elsewhere it is ten times slower."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return torch.autocast(
        "cpu", torch.bfloat16, enabled=any(able.get(name, False) for name in _BF16_CPU)
    )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators in the block only; initial weights and dropout use them."""
    with torch.random.fork_rng(devices=[0] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
