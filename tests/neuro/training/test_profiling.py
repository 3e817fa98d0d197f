import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.training import profiling
from neuro.training.device import Machine
from neuro.training.gradient_step import GradientStep
from neuro.training.loader import BatchLoader
from neuro.training.trainer import Epoch
from tests.neuro.training.test_trainer import CONFIG, PROBLEM, discs

HERE = Machine(device="cpu", precision="f32")
EPOCH = Epoch(
    number=3,
    epochs=3,
    loss=0.5,
    accuracy=1.0,
    macro_f1=1.0,
    learning_rate=1e-3,
    images_per_s=100.0,
    seconds=1.0,
    size_px=16,
    at_once=4,
)


def test_for_a_limit_one_batch_is_read_for_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, steps = [], []
    batch, step = BatchLoader.batch, GradientStep.__call__

    def batch_counted(self: BatchLoader, rows: NDArray[np.int64]) -> Any:
        batches.append(1)
        return batch(self, rows)

    def step_counted(self: GradientStep, *given: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        return step(self, *given)

    monkeypatch.setattr(BatchLoader, "batch", batch_counted)
    monkeypatch.setattr(GradientStep, "__call__", step_counted)
    profiling.limit(discs(), PROBLEM, CONFIG, HERE, n_steps=3, at_most_s=60)
    assert (len(batches), len(steps)) == (1, 4)  # the first warms up


def test_a_step_is_like_that_of_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []
    forward = torch.nn.Conv2d.forward

    def seen(self: torch.nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        if images.shape[1] == PROBLEM.preprocess.channels and self.training:
            shapes.append(images.shape)
        return forward(self, images)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", seen)
    profiling.limit(discs(), PROBLEM, CONFIG, HERE, EPOCH, n_steps=1)
    assert shapes == [torch.Size([4, 1, 16, 16])] * 2 * (CONFIG.batch_size // 4)


def test_neither_draws_from_the_generator_of_others(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    assert profiling.limit(discs(), PROBLEM, CONFIG, HERE, EPOCH) > 0
    profiling.profile(discs(), PROBLEM, CONFIG, HERE, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_profile_names_the_parts_of_ten_steps_in_trace_and_table(tmp_path: Path) -> None:
    parts = profiling.profile(discs(), PROBLEM, CONFIG, HERE, tmp_path / "a" / "b")
    with gzip.open(tmp_path / "a" / "b" / profiling.TRACE) as stream:
        events = json.load(stream)["traceEvents"]
    named = [event["name"] for event in events if event.get("ph") == "X"]
    for part in ("step", *profiling.PARTS):
        assert named.count(part) == 10
    assert all(ms > 0 for ms in parts.values())
    assert set(parts) == {*profiling.PARTS, "rest", "step"}
    assert sum(parts.values()) == pytest.approx(2 * parts["step"])
    table = (tmp_path / "a" / "b" / profiling.TABLE).read_text()
    for word in (*parts, "10 steps of 16 images", "no part of the training", "aten::"):
        assert word in table


def test_several_processes_are_not_profiled(tmp_path: Path) -> None:
    two = Machine(device="cpu", devices=2)
    with pytest.raises(ConfigError, match="give --devices 1"):
        profiling.profile(discs(), PROBLEM, CONFIG, two, tmp_path)
