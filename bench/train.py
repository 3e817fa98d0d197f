"""Training from cached frames, beside a torchvision loop, timm's train.py, and no data path."""

import argparse
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import timm
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench import ingest
from bench.rivals import timm_script
from bench.rivals.timm_script import Script
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.models import backbone, weights_packages
from neuro.problems import problem
from neuro.training import config as recipes
from neuro.training import profiling
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Trainer
from tasks.load import release_data
from tasks.load.release_data import Loaded
from tasks.runtime import settings

ASKED = {96: 1.8}  # times the loop at this size, in px
ASKED_ELSE = 2.2
ASKED_OF_MEMORY = 0.95
LOOP, OURS, MEMORY = "ImageFolder, DataLoader, eager", "neuro", "neuro, one batch in memory"
SCRIPTS = {"timm train.py": (), "timm train.py, bf16": timm_script.BF16}
TIMEOUT_S = 1800.0


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench train", description=__doc__)
    parser.add_argument("--files", type=int, default=500, help="some 70 %% of them are trained on")
    parser.add_argument("--size", type=int, default=224, help="px of a side")
    parser.add_argument("--model", default="resnet18", help="any that neuro trains")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--pretrained",
        action="store_true",
        help="colour frames; all start from the model's weights, neuro as the preset fine-tunes",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda, of all")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved; medians are shown")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--peers", type=Path, help="environment of the peers, made if missing, with timm's train.py"
    )
    options = parser.parse_args(argv)
    source = os.environ.get("NEURO_REAL_DATA")
    if not source:
        parser.error("set NEURO_REAL_DATA to the folder that holds brain, chest and skin")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["NEURO_HOME"] = scratch
        folder = Path(scratch) / "delivery"
        ingest.draw(Path(source), folder, options.files, options.seed)
        mode = "RGB" if options.pretrained else "L"
        text = f'{ingest.PROBLEM}[preprocess]\nmode = "{mode}"\nsize_px = {options.size}\n'
        question = problem.parse(text, where="bench")
        lake = Lake(str(Path(scratch) / "lake"))
        ingest.whole(lake, question, folder, settings.cores())
        started = perf_counter()
        loaded = release_data.load(lake, question)
        decoded = len(loaded.samples) / (perf_counter() - started)
        n = len(loaded.frames.labelled("train"))
        print(
            f"{n} real images of a train split, {options.model} at {options.size} px, {mode}, "
            f"batches of {options.batch}, {Machine(device=options.device)}.\n"
            f"Decoded into frames once, every digest checked: {decoded:.0f} images/s.\n"
        )
        _measure(loaded, Path(scratch) / "loop", options)


def _measure(loaded: Loaded, folder: Path, options: argparse.Namespace) -> None:
    machine, weights = Machine(device=options.device), _weights(options)
    config = _recipe(loaded, machine, options)
    print(f"neuro: {config.freeze} stages frozen, layer decay {config.layer_decay}\n")
    calls: dict[str, Callable[[], float]] = {
        LOOP: _loop(loaded, folder, options),
        **_scripts(timm_script.find(options.peers), folder, options),
        OURS: _ours(
            Trainer(loaded.frames, loaded.problem, config, weights, fabric=machine.fabric())
        ),
        MEMORY: partial(
            profiling.limit,
            loaded.frames,
            loaded.problem,
            config,
            machine,
            n_steps=len(loaded.frames.labelled("train")) // options.batch,
            at_most_s=math.inf,
        ),
    }
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(1 + options.rounds):  # the first of each warms up
        for name, call in calls.items():
            rate = call() if number or name not in SCRIPTS else 0.0
            if number:
                rates[name].append(rate)
    found = {name: median(some) for name, some in rates.items()}
    ours = found[OURS]
    print(f"{'':32}{'images/s':>9}{'ratio':>8}{'neuro is':>10}")
    for name, rate in found.items():
        print(f"{name:32}{rate:9.1f}{rate / found[LOOP]:8.2f}{ours / rate:10.2f}")
    asked = ASKED.get(options.size, ASKED_ELSE)
    print(
        f"\nasked: {asked} times the loop, got {ours / found[LOOP]:.2f}; {ASKED_OF_MEMORY} of the "
        f"step without a data path, got {ours / found[MEMORY]:.2f}"
    )


def _scripts(
    script: Script | None, folder: Path, options: argparse.Namespace
) -> dict[str, Callable[[], float]]:
    """Timm's train.py on the same files, as it is and as fast as it can be asked to be here.

    Each call is a process of two epochs; what it logs of the second counts, so it warms up itself.
    """
    if script is None or not script.path.exists():
        print(f"timm's train.py is left out: {timm_script.HOW}\n")
        return {}
    if not timm.is_model(options.model):
        print(f"timm's train.py is left out: it has no {options.model}\n")
        return {}

    def rate(more: tuple[str, ...]) -> float:
        arguments = timm_script.plain(
            folder,
            folder.parent / "timm",
            model=options.model,
            px=options.size,
            batch=options.batch,
            device=Machine(device=options.device).kind,
        )
        done = timm_script.run(script, [*arguments, "--epochs", "2", *more], TIMEOUT_S)
        shutil.rmtree(folder.parent / "timm", ignore_errors=True)
        if done.failed:
            raise RuntimeError(f"train.py: {done.failed}")
        return timm_script.images_per_s(done.log)

    return {name: partial(rate, more) for name, more in SCRIPTS.items()}


def _recipe(loaded: Loaded, machine: Machine, options: argparse.Namespace) -> TrainConfig:
    """What neuro trains by; fine-tuned without the epochs in which the head alone learns."""
    given = {"model": options.model, "epochs": 1 + options.rounds, "batch_size": options.batch}
    if not options.pretrained:
        return TrainConfig(**given)
    n = len(loaded.frames.labelled("train"))
    changes = {**given, "head_epochs": 0}
    return recipes.choose("default", changes, images=n, kind=machine.kind, tunes=True)


def _weights(options: argparse.Namespace) -> Path | None:
    if not options.pretrained:
        return None
    found = weights_packages.find(options.model)
    if found is None:
        raise SystemExit(f"no package has weights of {options.model}: {weights_packages.INSTALL}")
    return found


def _ours(trainer: Trainer) -> Callable[[], float]:
    epochs = trainer.epochs()
    return lambda: next(epochs).images_per_s


def _loop(loaded: Loaded, folder: Path, options: argparse.Namespace) -> Callable[[], float]:
    """What a user would write, on files of the same images: one epoch a call, images a second."""
    _write(loaded, folder)
    size, spec = options.size, loaded.problem.augment
    steps = [
        *([] if options.pretrained else [transforms.Grayscale()]),
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
    device = torch.device(Machine(device=options.device).kind)
    network = backbone.build(
        options.model,
        loaded.problem.preprocess,
        n_classes=len(pictures.classes),
        weights=_weights(options),
    )
    network = network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def epoch() -> float:
        network.train()
        started, n = perf_counter(), 0
        for pixels, targets in batches:
            loss = F.cross_entropy(network(pixels.to(device))[0], targets.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            n += len(targets)
        loss.item()  # until it is known, a GPU is at work
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
