"""Training on a CUDA device; `make test-gpu` where there is one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neuro.training import loader
from neuro.training import trainer as training
from neuro.training.device import Machine
from neuro.training.loader import FrameReader
from tests.neuro.training.test_trainer import CONFIG, PROBLEM, discs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]


def test_a_gpu_learns_and_its_network_answers_alike_on_the_processor() -> None:
    trainer = training.Trainer(
        discs(), PROBLEM, replace(CONFIG, epochs=12), fabric=Machine(device="cuda").fabric()
    )
    *_, last = trainer.epochs()
    assert last.accuracy == 1.0
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        there = trainer.network(images.cuda())[0].cpu()
        assert torch.allclose(trainer.network.cpu()(images)[0], there, atol=1e-3)


def test_frames_that_lie_on_the_gpu_and_those_that_go_there_by_batch_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels, spec, rows = discs().pixels, PROBLEM.preprocess, np.array([3, 0, 119])
    there = FrameReader(pixels, spec, torch.device("cuda")).images(rows)
    monkeypatch.setattr(loader, "_SHARE", 0.0)
    sent = FrameReader(pixels, spec, torch.device("cuda")).images(rows)
    here = FrameReader(pixels, spec, torch.device("cpu")).images(rows)
    assert sent.is_cuda
    assert torch.equal(there, sent)
    assert torch.allclose(there.cpu(), here, atol=1e-6)


def test_memory_of_a_gpu_that_runs_out_halves_what_is_computed_at_once() -> None:
    size = 32
    frames = replace(discs(), pixels=discs().pixels.repeat(size, axis=1).repeat(size, axis=2))
    problem = replace(PROBLEM, preprocess=replace(PROBLEM.preprocess, size_px=32 * size))
    frames = replace(frames, preprocess_hash=problem.preprocess.sha256)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (3 << 30) / total))
    try:
        trainer = training.Trainer(
            frames,
            problem,
            replace(CONFIG, epochs=1, batch_size=64, model="resnet50"),
            fabric=Machine(device="cuda").fabric(),
        )
        (epoch,) = trainer.epochs()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert epoch.at_once < 64
    assert np.isfinite(epoch.loss)
