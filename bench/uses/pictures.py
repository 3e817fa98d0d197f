"""Real images as they are stored, and their vectors, with what those cost."""

import argparse
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.preprocessing import normalize

from bench import passport, plants, suspects
from bench.passport import Planted
from bench.rivals import judging
from neuro.features import embedding, encoders, pca
from neuro.features.embedding import BATCH, Backbone
from neuro.features.encoders import Encoder, Fitting, Pixels
from neuro.images import preprocess, sanitize
from neuro.images.preprocess import PreprocessSpec

PRETRAINED = "tf_efficientnet_lite0"
NEW, RANDOM = "lite0", "random"  # names of the two embeddings in the table
QUALITY = 95  # of a picture that is changed and saved again


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Images of a set. stored: their clean bytes. groups: numbers of patient, lesion and twins."""

    planted: Planted
    stored: Sequence[bytes]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    @property
    def name(self) -> str:
        """The set's."""
        return self.planted.name

    @property
    def spec(self) -> PreprocessSpec:
        """The problem's own."""
        return self.planted.question.preprocess


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """Of images, (n, d). cpu_s: for 1,000 of them, without what is done once in a process."""

    name: str
    rows: NDArray[np.float32]
    cpu_s: float

    @property
    def cosines(self) -> NDArray[np.float32]:
        """Of each with each, (n, n)."""
        unit = normalize(self.rows)
        cosines: NDArray[np.float32] = unit @ unit.T
        return cosines


def load(data: Path, name: str, n: int, seed: int) -> Pictures:
    """Some images of a set, drawn at random, each file's bytes once."""
    planted = plant(data, name, (), n, 0, seed)
    stored = [sanitize.clean(real.path.read_bytes()).stored for real in planted.reals]
    pairs = plants.twins(planted.thumbnails, planted.cosine)
    of_one = np.concatenate([pairs, suspects.of_one_id(planted)])
    classes = planted.question.classes
    return Pictures(
        planted=planted,
        stored=stored,
        labels=np.array([classes.index(real.label) for real in planted.reals]),
        groups=judging.clustered(of_one, len(stored)).astype(np.str_),
    )


def plant(data: Path, name: str, kinds: Sequence[str], n: int, copies: int, seed: int) -> Planted:
    """See ``passport.plant``; n: of the real images among them."""
    options = argparse.Namespace(copies=copies, seed=seed, cosine=None)
    return passport.plant(data, name, kinds, options, n + copies * len(kinds))


def encode(name: str, encoder: Encoder, stored: Sequence[bytes]) -> Vectors:
    """Vectors of stored images, timed."""
    return timed(name, encoder.encode, stored)


def timed(
    name: str, vectors_of: Callable[[Sequence[bytes]], NDArray[Any]], stored: Sequence[bytes]
) -> Vectors:
    """What a function makes of stored images; it is called once before, for what it starts."""
    vectors_of(stored[:BATCH])
    started = process_time()
    rows = vectors_of(stored)
    cpu_s = (process_time() - started) / len(stored) * 1000
    return Vectors(name=name, rows=rows, cpu_s=cpu_s)


def components(pictures: Pictures) -> Pixels:
    """Principal components of these pictures' pixels; no label is used."""
    fitting = Fitting(spec=pictures.spec, train=())

    def tensors(some: slice) -> NDArray[np.float32]:
        frames = [preprocess.frame(raw, pictures.spec) for raw in pictures.stored[some]]
        return encoders.flat(np.stack(frames), pictures.spec)

    fit = pca.fit(tensors, len(pictures.stored), fitting.components)
    return Pixels(spec=pictures.spec, fit=fit, digest="")


def at_side(encoder: Backbone, size_px: int) -> Backbone:
    """The same network, that sees pictures of another side."""
    return replace(encoder, input=replace(encoder.input, size_px=size_px))


def random_start() -> Backbone:
    """What an embedding without weights is."""
    return embedding.backbone("resnet_small")


def opened(raw: bytes) -> Image.Image:
    """A stored picture: grey, or in colours."""
    with Image.open(io.BytesIO(raw)) as picture:
        return picture.convert("L" if picture.mode == "L" else "RGB")


def saved(picture: Image.Image) -> bytes:
    """As JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()
