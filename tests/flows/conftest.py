"""A small delivery of phantoms, and a home of its own for each test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.ingest import delivery
from neuro.synthetic import phantom

Draw = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home and lake for the flows, and no server."""
    before = os.environ.get("NEURO_HOME")
    os.environ["NEURO_HOME"] = str(tmp_path / "home")
    yield tmp_path / "home"
    if before is None:
        del os.environ["NEURO_HOME"]
    else:
        os.environ["NEURO_HOME"] = before


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Draw class folders of phantoms: draw(["a", "b"], 20) or, without labels, a flat folder."""

    def make(labels: list[str], each: int, *, name: str = "delivery", seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        folder = tmp_path / name
        folder.mkdir()
        for kind, label in enumerate(labels):
            (folder / label).mkdir(exist_ok=True)
            for number in range(each):
                picture = Image.fromarray(phantom.draw(kind % phantom.KINDS, rng))
                picture.save(folder / label / f"{name}_{kind}_{number:03d}.png")
        delivery.write_note(folder, source="phantoms", is_synthetic=True)
        return folder

    return make
