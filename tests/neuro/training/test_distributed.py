import multiprocessing
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, TrainingError
from neuro.training import distributed
from neuro.training import trainer as training
from neuro.training.checkpoint import Checkpoint
from neuro.training.device import Machine
from neuro.training.distributed import ParallelTrainer
from tests.neuro.training.test_trainer import CONFIG, PROBLEM, discs

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two processes, two cores"),
]


@pytest.fixture
def mapped(tmp_path: Path) -> Frames:
    """The discs, with pixels in a memory map, as those of a release are."""
    frames = discs()
    np.save(tmp_path / "pixels.npy", frames.pixels)
    return replace(frames, pixels=np.load(tmp_path / "pixels.npy", mmap_mode="r"))


def in_two(frames: Frames, epochs: int, **changes: object) -> distributed.Trainer | ParallelTrainer:
    config = replace(CONFIG, epochs=epochs).changed(changes)
    two = Machine(device="cpu", devices=2)
    return distributed.trainer(frames, PROBLEM, config, machine=two)


@pytest.mark.slow
def test_two_processes_learn_and_what_was_ended_continues(mapped: Frames, tmp_path: Path) -> None:
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    going = in_two(mapped, 12).epochs(kept)
    first = next(going)
    assert first.at_once == CONFIG.batch_size / 2
    going.close()
    again = in_two(mapped, 12)
    epochs = list(again.epochs(kept))
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert epochs[0] == first
    assert epochs[-1].accuracy == 1.0
    ended = kept.load()
    assert ended is not None
    expected = ended["averaged"]
    assert all(torch.equal(t, expected[name]) for name, t in again.network.state_dict().items())
    whole = in_two(mapped, 12)
    assert [epoch.loss for epoch in whole.epochs()] == [epoch.loss for epoch in epochs]
    assert all(torch.equal(t, expected[name]) for name, t in whole.network.state_dict().items())


def tell_scores(fabric: Fabric, *, frames: Frames, told: Any) -> None:
    """One process: its scores of each epoch."""
    config = CONFIG.changed({"ema_decay": 0.0, "epochs": 6})  # only the newest batches count
    trainer = training.Trainer(frames, PROBLEM, config, fabric=fabric)
    told.put([(epoch.accuracy, epoch.macro_f1) for epoch in trainer.epochs()])
    told.close()
    told.join_thread()


def test_processes_agree_on_the_scores_that_patience_waits_for() -> None:
    """Each has batch statistics of its own, and so an opinion of its own of images by chance."""
    rng, many = np.random.default_rng(0), discs(600)
    splits = many.splits.copy()
    splits[64:550] = "val"
    noise = rng.integers(0, 256, many.pixels.shape).astype(np.uint8)
    frames = replace(many, pixels=noise, splits=splits, targets=rng.permutation(many.targets))
    told = multiprocessing.get_context("spawn").Queue()
    two = Machine(device="cpu", devices=2).fabric()
    two.launch(partial(tell_scores, frames=frames, told=told))
    assert told.get(timeout=60) == told.get(timeout=60)


def test_the_error_of_a_process_comes_out_and_none_is_left(mapped: Frames) -> None:
    before = multiprocessing.active_children()
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch"):
        list(in_two(mapped, 3, learning_rate=10.0, optimizer="sgd", weight_decay=10.0).epochs())
    assert multiprocessing.active_children() == before


def test_a_batch_too_small_for_its_devices_is_refused(mapped: Frames) -> None:
    with pytest.raises(ConfigError, match="gives 2 devices fewer than two images each"):
        in_two(mapped, 1, batch_size=3)


def test_two_processes_let_the_head_learn_first(mapped: Frames) -> None:
    trained = in_two(mapped, 3, head_epochs=2, freeze=1)
    assert [epoch.number for epoch in trained.epochs()] == [1, 2, 3]
