"""The limit of a training's step: what was trained is kept whether it can be measured or not."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from neuro.errors import TrainingError
from neuro.training import profiling
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Epoch
from tasks import profile_training
from tasks.record.tracking import Run
from tests.neuro.training.test_profiling import EPOCH

ONE = Machine(device="cpu")


class Data:
    """Neither frames nor a problem: nothing may be read."""

    frames = problem = None


def measure(machine: Machine, epochs: Sequence[Epoch] = (EPOCH,)) -> Any:
    nothing: Any = Data()
    return profile_training.measure(Run(run_id=""), nothing, TrainConfig(), machine, epochs)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two processes, two cores")
def test_the_step_of_several_processes_is_not_measured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert measure(Machine(device="cpu", devices=2)) is None
    assert "of one process" in caplog.text


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), TrainingError("no room")])
def test_a_step_that_cannot_be_repeated_fails_nothing_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object) -> float:
        raise error

    monkeypatch.setattr(profiling, "limit", fail)
    assert measure(ONE) is None
    assert "was not measured: no room" in caplog.text


def test_the_share_is_that_of_the_epochs_with_the_last_views(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    epochs = [replace(EPOCH, size_px=8, images_per_s=900.0), *[EPOCH] * 2]
    monkeypatch.setattr(profiling, "limit", lambda *_: 200.0)
    assert measure(ONE, epochs).share_of_limit == EPOCH.images_per_s / 200
