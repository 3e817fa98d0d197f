"""Packages of networks that have learnt nothing, for tests of what is done with any."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from neuro.images.preprocess import PreprocessSpec
from neuro.models import backbone, package
from tests.neuro.prediction.test_predict import card


def untrained(
    folder: Path, problem: str, classes: tuple[str, ...], spec: PreprocessSpec, **more: Any
) -> Path:
    """more: of the card."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = backbone.build("resnet_small", spec, n_classes=len(classes)).eval()
    with torch.no_grad():
        width = network(torch.zeros(1, spec.channels, spec.size_px, spec.size_px))[1].shape[1]
    plain = card()
    made = replace(
        plain,
        problem=problem,
        dataset=problem,
        classes=classes,
        architecture="resnet_small",
        preprocess=spec,
        calibration=replace(plain.calibration, ood_mean=(0.0,) * width),
        **more,
    )
    return package.save(folder, network, made)
