"""Training from cached frames, beside a torchvision loop and beside the same step without data."""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench import ingest
from neuro import model, problem
from neuro.recipe import TrainConfig
from neuro.rehearsal import InMemory
from neuro.store import images
from neuro.store.lake import Lake
from neuro.training import Trainer
from tasks import data, settings
from tasks.data import Loaded

ASKED = {96: 1.8}  # times the loop at this size, in px
ASKED_ELSE = 2.2
ASKED_OF_MEMORY = 0.95


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench train", description=__doc__)
    parser.add_argument("--files", type=int, default=500, help="some 70 %% of them are trained on")
    parser.add_argument("--size", type=int, default=224, help="px of a side")
    parser.add_argument("--model", default="resnet18", help="any that neuro trains")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NEURO_HOME"] = scratch
        folder = Path(scratch) / "delivery"
        ingest.draw(Path(source), folder, options.files, options.seed)
        text = f'{ingest.PROBLEM}[preprocess]\nmode = "L"\nsize_px = {options.size}\n'
        question = problem.parse(text, where="bench")
        lake = Lake(str(Path(scratch) / "lake"))
        ingest.whole(lake, question, folder, settings.cores())
        started = perf_counter()
        loaded = data.load(lake, question)
        decoded = len(loaded.samples) / (perf_counter() - started)
        n = len(loaded.frames.labelled("train"))
        print(
            f"{n} real images of a train split, {options.model} at {options.size} px, grey, "
            f"batches of {options.batch}, {settings.cores()} cores.\nDecoded into frames once, "
            f"every digest checked: {decoded:.0f} images/s.\n"
        )
        _measure(loaded, Path(scratch) / "loop", options)


def _measure(loaded: Loaded, folder: Path, options: argparse.Namespace) -> None:
    config = TrainConfig(model=options.model, epochs=1 + options.rounds, batch_size=options.batch)
    calls = {
        "ImageFolder, DataLoader, eager": _loop(loaded, folder, options),
        "neuro": _ours(Trainer(loaded.frames, loaded.problem, config)),
        "neuro, one batch in memory": _ours(InMemory(loaded.frames, loaded.problem, config)),
    }
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(1 + options.rounds):  # the first of each warms up
        for name, call in calls.items():
            rate = call()
            if number:
                rates[name].append(rate)
    loop, ours, memory = (median(some) for some in rates.values())
    print(f"{'':32}{'images/s':>9}{'ratio':>8}")
    for name, rate in zip(rates, (loop, ours, memory), strict=True):
        print(f"{name:32}{rate:9.1f}{rate / loop:8.2f}")
    asked = ASKED.get(options.size, ASKED_ELSE)
    print(
        f"\nasked: {asked} times the loop, got {ours / loop:.2f}; {ASKED_OF_MEMORY} of the step "
        f"without a data path, got {ours / memory:.2f}"
    )


def _ours(trainer: Trainer) -> Callable[[], float]:
    epochs = trainer.epochs()
    return lambda: next(epochs).images_per_s


def _loop(loaded: Loaded, folder: Path, options: argparse.Namespace) -> Callable[[], float]:
    """What a user would write, on files of the same images: one epoch a call, images a second."""
    _write(loaded, folder)
    size, spec = options.size, loaded.problem.augment
    steps = [
        transforms.Grayscale(),
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomAffine(
            spec.rotate_deg, (spec.shift, spec.shift), (1 - spec.scale, 1 + spec.scale)
        ),
        transforms.ColorJitter(spec.gain, spec.gain),
        transforms.ToTensor(),
    ]
    pictures = ImageFolder(str(folder), transforms.Compose(steps))
    batches = DataLoader(
        pictures, options.batch, shuffle=True, drop_last=True, num_workers=settings.cores()
    )
    torch.manual_seed(options.seed)
    network = model.build(options.model, channels=1, n_classes=len(pictures.classes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def epoch() -> float:
        network.train()
        started, n = perf_counter(), 0
        for pixels, targets in batches:
            loss = F.cross_entropy(network(pixels)[0], targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            n += len(targets)
        return n / (perf_counter() - started)

    return epoch


def _write(loaded: Loaded, folder: Path) -> None:
    """The train split as a folder of class folders."""
    shutil.rmtree(folder, ignore_errors=True)
    among = {s.sample_id: s for s in loaded.samples if s.split == "train" and s.label}
    for sample_id, raw in images.stored_bytes(loaded.lake, loaded.release, sorted(among)):
        place = folder / loaded.problem.class_of(among[sample_id].label)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{sample_id}.jpg").write_bytes(raw)
