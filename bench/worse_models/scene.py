"""Phantoms of two scanners, a lake of them, and a champion that was trained there."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from flows.ingest import ingest
from neuro.ingest import delivery
from neuro.models import package
from neuro.models.package import Package
from neuro.problems import problem as problems
from neuro.synthetic import phantom, scanner_shift
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import train as training
from tasks.load import release_data
from tasks.load.release_data import Loaded
from tasks.record import registry, tracking
from tasks.record.registry import ModelVersion
from tasks.runtime import settings

CLASSES = ("ragged", "round", "none", "midline")  # in the order of the phantom's kinds
TABLE = "phantoms.csv"
PROBLEM = f"""
name = "planted"
dataset = "planted"
classes = {list(CLASSES)}
intended_use = "A benchmark."
licence = "CC0"
citation = "none"
recall_floors = {{ ragged = 0.7 }}
[layout]
kind = "table"
table = "{TABLE}"
file = "file"
label = "label"
metadata = ["scanner"]
[groups]
twin_cosine = 0.99
[preprocess]
size_px = 32
[augment]
mirror = true
rotate_deg = 15.0
"""
MODEL = "cnn"  # the smallest that neuro has
OLD, NEW = "old", "new"
SHARE_NEW = 0.1  # of the phantoms, which the new scanner has seen
DRAWN_PX = 64
HERE = training.Setup(machine=Machine(device="cpu", precision="f32"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A phantom as a PNG, its class, and the scanner that saw it."""

    raw: bytes
    label: str
    scanner: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """What a planted model is made from. question: the problem's name or file."""

    question: str
    loaded: Loaded
    champion: Package


def draw(n: int, seed: int) -> Iterator[Drawn]:
    """So many phantoms, the classes in turn."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        kind = number % phantom.KINDS
        pixels, scanner = phantom.draw(kind, rng, DRAWN_PX), OLD
        if rng.random() < SHARE_NEW:
            pixels, scanner = scanner_shift.shift(pixels, rng), NEW
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        yield Drawn(raw=stream.getvalue(), label=CLASSES[kind], scanner=scanner)


def deliver(folder: Path, phantoms: Iterator[Drawn]) -> Path:
    """Write phantoms and their table as a delivery."""
    folder.mkdir()
    rows = [("file", "label", "scanner")]
    for number, drawn in enumerate(phantoms):
        rows.append((f"phantom_{number:05d}.png", drawn.label, drawn.scanner))
        (folder / rows[-1][0]).write_bytes(drawn.raw)
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    delivery.write_note(folder, source="phantoms", is_synthetic=True)
    return folder


def start(scratch: Path, *, images: int, epochs: int) -> Scene:
    """A lake of so many phantoms in the home of this process, and a champion of so many epochs."""
    question = scratch / "planted.toml"
    question.write_text(PROBLEM, encoding="utf-8")
    source = deliver(scratch / "delivery", draw(images, seed=0))
    ingest.fn(problem=str(question), source=str(source))
    loaded = release_data.load(release_data.open_lake(None), problems.load(str(question)))
    return Scene(question=str(question), loaded=loaded, champion=train(loaded, epochs=epochs))


def train(loaded: Loaded, *, epochs: int, seed: int = 0) -> Package:
    """A package of the release as it is loaded; nothing is recorded."""
    trained = training.train(loaded, TrainConfig(model=MODEL, epochs=epochs, seed=seed), HERE)
    trained.checkpoint.remove()
    return trained.package


def register(folder: Path, problem: str) -> ModelVersion:
    """A package in the registry of a problem, as if a run had logged it."""
    client = tracking.client()
    experiment = client.get_experiment_by_name(problem)
    number = experiment.experiment_id if experiment else _experiment(problem)
    run = client.create_run(number)
    client.log_artifacts(run.info.run_id, str(folder), "package")
    return registry.register(run.info.run_id, problem, package.open_verified(folder))


def _experiment(problem: str) -> str:
    """Its artifacts lie in the home, and not where the program was started."""
    artifacts = settings.load().home / "artifacts"
    return str(tracking.client().create_experiment(problem, artifacts.as_uri()))
