"""A real data set, a model of most of it, and images that the model has never seen.

All images are ingested; some groups of train, drawn by seed, are kept from the training, so that
no twin of what is judged later was learnt from.
"""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import ingest
from monitoring import windows
from monitoring.windows import Observed
from neuro.dataset.frames import Frames
from neuro.features import descriptors
from neuro.images import preprocess
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.problems import problem
from neuro.sample import NO_SPLIT
from neuro.training import config as recipes
from tasks import train
from tasks.load import release_data
from tasks.load.release_data import Loaded
from tasks.runtime import settings

UNSEEN = 0.4  # of the groups of train are kept from the training
MOST = 1500  # images of the pool: each shift is computed for all of them
EPOCHS = 12  # half of what the preset would: minutes on two cores

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """What is measured of n images under one condition, row by row.

    called: (n,) class index. embeddings: (n, d) float32.
    """

    descriptors: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    called: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    formats: NDArray[np.str_]

    def observed(
        self, engine: Engine, groups: NDArray[np.str_], targets: NDArray[np.int64]
    ) -> Observed:
        """The same as a period whose labels are all known."""
        return Observed(
            groups=groups,
            descriptors=self.descriptors,
            features=engine.package.card.calibration.reference.along(self.embeddings),
            probabilities=self.probabilities,
            confidence=self.probabilities[np.arange(len(self.called)), self.called],
            correct=(self.called == targets).astype(np.float64),
            formats=self.formats,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Unseen:
    """A model with its reference, and the pool that windows are drawn from.

    stored: bytes of the pool's images, as the lake has them. groups, targets: of the pool.
    """

    engine: Engine
    reference: Observed
    reference_embeddings: NDArray[np.float32]
    stored: Sequence[bytes]
    groups: NDArray[np.str_]
    targets: NDArray[np.int64]


def prepare(name: str, source: Path, work: Path, seed: int) -> Unseen:
    """Ingest a data set and train its model, or open what an earlier run left in ``work``."""
    home = work / f"{name}-{seed}"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["NEURO_HOME"] = str(home)
    lake, question = Lake(str(home / "lake")), problem.load(name)
    if not (home / "ingested").exists():
        ingest.whole(lake, question, source / question.dataset, settings.cores())
        (home / "ingested").touch()
    loaded = release_data.load(lake, question)
    later = _kept_back(loaded.frames, seed)
    splits = loaded.frames.splits.astype("<U16")
    splits[later] = NO_SPLIT
    loaded = replace(loaded, frames=replace(loaded.frames, splits=splits))
    engine = predict.load(package.open_verified(_trained(loaded, home, seed)))
    rows = windows.held_out(splits)
    rows = rows[loaded.frames.targets[rows] >= 0]
    reference = answers(engine, _stored(loaded, rows))
    pool = _pool(loaded.frames, np.flatnonzero(later | (splits == "test")), seed)
    return Unseen(
        engine=engine,
        reference=reference.observed(
            engine, loaded.frames.groups[rows], loaded.frames.targets[rows]
        ),
        reference_embeddings=reference.embeddings,
        stored=_stored(loaded, pool),
        groups=loaded.frames.groups[pool],
        targets=loaded.frames.targets[pool],
    )


def called(engine: Engine, stored: Sequence[bytes]) -> NDArray[np.int64]:
    """The class that each image is called, (n,)."""
    return predict.answer(engine, _frames(engine, stored)).calibrated.called


def answers(engine: Engine, stored: Sequence[bytes]) -> Answers:
    """Everything that is known of images without their labels."""
    said = predict.answer(engine, _frames(engine, stored))
    return Answers(
        descriptors=np.array([descriptors.describe(raw) for raw in stored]),
        probabilities=said.calibrated.probabilities,
        called=said.calibrated.called,
        embeddings=said.embeddings,
        formats=np.array([_format(raw) for raw in stored]),
    )


def _format(raw: bytes) -> str:
    with Image.open(io.BytesIO(raw)) as opened:
        return f"{opened.width}x{opened.height} {opened.mode}"


def decoded(raw: bytes) -> Pixels:
    """(h, w) or (h, w, 3) uint8."""
    with Image.open(io.BytesIO(raw)) as opened:
        return np.asarray(opened if opened.mode == "L" else opened.convert("RGB"))


def encoded(pixels: Pixels, **how: int) -> bytes:
    """As PNG, or with ``quality`` as JPEG."""
    out = io.BytesIO()
    if how:
        Image.fromarray(pixels).save(out, "JPEG", **how)
    else:
        Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()


def _frames(engine: Engine, stored: Sequence[bytes]) -> Pixels:
    spec = engine.package.card.preprocess
    return np.stack([preprocess.frame(raw, spec) for raw in stored])


def _kept_back(frames: Frames, seed: int) -> NDArray[np.bool_]:
    """Which rows are of train's groups that the model never sees, (n,)."""
    groups = np.unique(frames.groups[frames.splits == "train"])
    drawn = np.random.default_rng(seed).permutation(groups)[: round(UNSEEN * len(groups))]
    return np.asarray(np.isin(frames.groups, drawn) & (frames.splits == "train"))


def _pool(frames: Frames, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Whole groups of these rows, drawn until there are MOST labelled images."""
    rows = rows[frames.targets[rows] >= 0]
    names, codes = np.unique(frames.groups[rows], return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[codes]
    last = np.sort(place)[min(MOST, len(rows)) - 1]
    return np.asarray(rows[place <= last], np.int64)


def _stored(loaded: Loaded, rows: NDArray[np.int64]) -> list[bytes]:
    wanted = loaded.frames.sample_ids[rows].tolist()
    found = dict(images.stored_bytes(loaded.lake, loaded.release, wanted))
    return [found[name] for name in wanted]


def _trained(loaded: Loaded, home: Path, seed: int) -> Path:
    """The folder of the package of this seed."""
    note = home / "package.json"
    if not note.exists():
        n = len(loaded.frames.labelled("train"))
        given = {"seed": seed, "epochs": EPOCHS}
        config = recipes.choose("fast", given, images=n, kind="cpu")
        made = train.train(loaded, config).package.folder
        note.write_text(json.dumps(str(made)), encoding="utf-8")
    return Path(json.loads(note.read_text(encoding="utf-8")))
