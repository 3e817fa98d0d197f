"""Embeddings of a release's images, beside a plain torchvision loop over the same files."""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench import ingest
from neuro.features import embedding
from neuro.features.embedding import PRECISIONS, Backbone
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.models import backbone
from neuro.models.backbone import Extractor
from neuro.problems import problem
from tasks.runtime import shards

ASKED = 2.5  # times the loop
CLOSE = 1e-2
BATCH = 64  # of the loop

Vectors = Mapping[str, NDArray[Any]]  # by sample_id


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench featurise", description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--model", choices=["resnet18", "resnet34", "resnet50"], default="resnet18")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "delivery"
        ingest.draw(Path(data), folder, options.files, options.seed)
        lake = Lake(str(Path(scratch) / "lake"))
        question = problem.parse(ingest.PROBLEM, where="bench")
        ingest.whole(lake, question, folder, cores)
        release = releases.find(lake, question.dataset)
        ids = sorted(sample.sample_id for sample in releases.samples(lake, release))
        print(f"{len(ids)} real images, {options.model} of a random start, {cores} cores\n")
        _measure(lake, release, ids, folder, options)


def _measure(
    lake: Lake, release: Release, ids: list[str], folder: Path, options: argparse.Namespace
) -> None:
    made = backbone.extractor(options.model)
    calls: dict[str, Callable[[], Vectors]] = {
        "torchvision loop": _loop(made, folder, options.model)
    }
    usable = PRECISIONS if embedding.fastest() == "bf16" else ("f32",)
    for precision in usable:
        encoder = embedding.backbone(options.model, precision=precision)
        calls[f"neuro, {precision}"] = _ours(lake, release, encoder, ids)
    found: dict[str, Vectors] = {}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    first: dict[str, float] = {}
    for number in range(options.rounds + 1):  # the first of each also starts what is started once
        for name, call in calls.items():
            started = perf_counter()
            found[name] = call()
            spent = perf_counter() - started
            if number:
                seconds[name].append(spent)
            else:
                first[name] = spent
    _report(found, {name: median(some) for name, some in seconds.items()}, first, ids)


def _report(
    found: dict[str, Vectors],
    seconds: dict[str, float],
    first: dict[str, float],
    ids: list[str],
) -> None:
    peer, *ours = found
    both = [sample_id for sample_id in ids if sample_id in found[peer]]
    expected = np.stack([found[peer][sample_id] for sample_id in both])
    print(f"{'':18}{'images/s':>9}{'ratio':>7}{'first s':>9}{'max |d|':>9}{'cosine':>9}")
    for name in (peer, *ours):
        vectors = np.stack([found[name][sample_id] for sample_id in both])
        apart = np.abs(vectors - expected).max() / np.abs(expected).max()
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = ((vectors * expected).sum(axis=1) / norms).min()
        print(
            f"{name:18}{len(ids) / seconds[name]:9.0f}{seconds[peer] / seconds[name]:7.2f}"
            f"{first[name]:9.1f}{apart:9.4f}{cosine:9.5f}"
        )
    print(
        f"\nasked: {ASKED} times the loop, values to {CLOSE}. max |d|: largest difference of a "
        "value to the loop's, over the largest\nvalue; cosine: of the two vectors of an image, the "
        "lowest. first s: the first run, with what is done once in a process."
    )


def _ours(lake: Lake, release: Release, encoder: Backbone, ids: list[str]) -> Callable[[], Vectors]:
    """Read from the lake, digests checked, as `neuro featurize --local` does."""
    return lambda: shards.encode(lake, release, encoder, ids)


def _loop(made: Extractor, folder: Path, name: str) -> Callable[[], Vectors]:
    """What a user would write: the same weights, pictures and size."""
    network: nn.Module = getattr(torchvision.models, name)()
    network.fc = nn.Identity()
    network.load_state_dict(made.network.state_dict())
    network.eval()
    steps = [
        transforms.Resize((made.size_px, made.size_px)),
        transforms.ToTensor(),
        transforms.Normalize(made.mean, made.deviation),
    ]
    pictures = ImageFolder(str(folder), transforms.Compose(steps))
    names = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path, _ in pictures.samples]
    workers = len(os.sched_getaffinity(0))

    def run() -> Vectors:
        batches = DataLoader(pictures, BATCH, num_workers=workers)
        with torch.inference_mode():
            rows = [network(images).numpy() for images, _ in batches]
        return dict(zip(names, np.concatenate(rows), strict=True))

    return run
