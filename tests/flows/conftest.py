"""A small delivery of phantoms, and a home of its own for each test.

Homes that many tests start from are made once per session, and copied.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.ingest import ingest
from flows.train import train
from neuro.ingest import delivery
from neuro.models import package, package_manifest
from neuro.problems import problem as problems
from neuro.synthetic import phantom
from neuro.training import precision
from neuro.training.config import TrainConfig
from tasks.load import release_data
from tasks.load.release_data import Loaded
from tasks.record import registry, signing_keys, tracking

Draw = Callable[..., Path]
Deliver = Callable[[int], Path]
LABELS = ["glioma", "meningioma", "notumor", "pituitary"]
QUICK = TrainConfig(epochs=1)
MARKS = """
name = "marks"
dataset = "marks"
classes = ["a", "b"]
intended_use = "Tests."
licence = "CC0"
citation = "none"
[preprocess]
size_px = 32
"""  # a problem file of a person's own


@contextmanager
def at_home(home: Path) -> Iterator[Path]:
    """Flows called meanwhile find their lake there, no server, and train in f32.

    Which precision is faster is asked of the clock, and many tests compare two trainings.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURO_HOME", str(home))
        patch.setattr(precision, "faster", lambda _measured: "f32")
        yield home


def draw_phantoms(folder: Path, labels: list[str], each: int, *, seed: int = 0) -> Path:
    """Class folders of so many phantoms each or, for the label "", a flat folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for kind, label in enumerate(labels):
        (folder / label).mkdir(exist_ok=True)
        for number in range(each):
            picture = Image.fromarray(phantom.draw(kind % phantom.KINDS, rng))
            picture.save(folder / label / f"{folder.name}_{kind}_{number:03d}.png")
    delivery.write_note(folder, source="phantoms", is_synthetic=True)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home and lake for the flows, and no server."""
    with at_home(tmp_path / "home") as home:
        yield home


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Draw class folders of phantoms: draw(["a", "b"], 20) or, without labels, a flat folder."""

    def make(labels: list[str], each: int, *, name: str = "delivery", seed: int = 0) -> Path:
        return draw_phantoms(tmp_path / name, labels, each, seed=seed)

    return make


@pytest.fixture(scope="session")
def deliver_once(tmp_path_factory: pytest.TempPathFactory) -> Deliver:
    """deliver_once(12): a home whose lake holds four classes of 12 phantoms. Copy it."""

    @cache
    def make(each: int) -> Path:
        folder = tmp_path_factory.mktemp("delivered")
        with at_home(folder / "home") as home:
            ingest.fn(source=str(draw_phantoms(folder / "delivery", LABELS, each)))
        return home

    return make


@pytest.fixture(scope="session")
def trained_once(
    deliver_once: Deliver, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A home of 120 phantoms, and the name of a package trained there. Copy it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(deliver_once(30), folder / "home")
    with at_home(folder / "home") as home:
        return home, Path(train.fn(config=QUICK)["package"]).name


@pytest.fixture
def delivered(home: Path, deliver_once: Deliver) -> Deliver:
    """delivered(12): the home of this test, whose lake now holds four classes of 12 phantoms."""

    def copied(each: int) -> Path:
        return shutil.copytree(deliver_once(each), home)

    return copied


@pytest.fixture
def model(home: Path, trained_once: tuple[Path, str]) -> str:
    """The package of a training on 120 phantoms, in the home of this test."""
    source, name = trained_once
    shutil.copytree(source, home)
    return str(home / "packages" / name)


@pytest.fixture
def registered(home: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The numbers of three versions of one package, in a registry of MLflow's in the home."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    monkeypatch.chdir(home)
    tracking.client.cache_clear()
    found = package.open_verified(Path(model))
    signing_keys.require()
    package_manifest.sign(found.folder, signing_keys.folder())
    made = []
    for _ in range(3):
        run = tracking.client().create_run("0")
        tracking.client().log_artifacts(run.info.run_id, model, "package")
        made.append(registry.register(run.info.run_id, "brain", found).version)
    yield made
    tracking.client.cache_clear()


@pytest.fixture
def loaded(model: str) -> Loaded:
    return release_data.load(release_data.open_lake(None), problems.load("brain"))
