"""Deliveries for lakes in buckets, and the way in that users take."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from neuro.storage.bucket_store import BucketStore

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")


def drawn(folder: Path, n: int, seed: int = 0) -> Path:
    """A folder of n noise images, no two of them twins, in the layout of the brain problem."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        path = folder / "Training" / CLASSES[number % 4] / f"{seed}-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
    return folder


def real(folder: Path, n: int) -> Path:
    """A folder of n real brain images; skips the test where there are none."""
    data = os.environ.get("NEURO_REAL_DATA")
    if not data:
        pytest.skip("NEURO_REAL_DATA is not set")
    found = sorted((Path(data) / "brain" / "Training").rglob("*.jpg"))
    for path in found[:: len(found) // n][:n]:
        target = folder / "Training" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def upload(folder: Path, bucket: BucketStore) -> None:
    """Copy every file of a folder into a bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.write(path.relative_to(folder).as_posix(), path.read_bytes())


def ingest(folder: Path, lake: str) -> dict[str, Any]:
    """The receipt of `neuro ingest --local`."""
    from flows.ingest import ingest as flow

    receipt: dict[str, Any] = flow.fn(problem="brain", source=str(folder), lake=lake)
    return receipt


def neuro(*arguments: str, code: int = 0) -> Any:
    """What a verb prints as JSON."""
    from deployments.cli.app import app

    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout)
