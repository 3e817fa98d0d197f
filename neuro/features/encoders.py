"""What turns stored images into the vectors of a feature set, and the digest that names it."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuro.duplicates import twins
from neuro.features import pca
from neuro.features.pca import Fit
from neuro.images import jpeg, preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.images.thumbnail import thumbnail
from neuro.models import package
from neuro.prediction import predict
from neuro.prediction.predict import Engine

THUMB, PIXELS, EMBEDDING = "thumb", "pixels_pca", "embedding"
THUMB_VERSION = "thumb-2"  # part of the feature hash: raise it when any vector changes
COMPONENTS = 64
THREADS = 2

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Frozen and picklable, so that it can be sent to a worker; opens what is heavy when needed.

    name: the feature set. digest: SHA-256 of what makes the vectors: code version, weights,
    preprocess and fit. The vector of an image depends on nothing else, least of all on the images
    it is encoded with.
    """

    @property
    def name(self) -> str:
        """The feature set; its table is ``features_<name>``."""

    @property
    def digest(self) -> str:
        """What the column ``encoder_hash`` holds."""

    @property
    def preprocess_hash(self) -> str:
        """Of the path from bytes to a tensor; "" where there is none."""

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """Vectors of stored images, (n, d), in their order."""


def digest_of(**facts: str | float) -> str:
    """SHA-256 of everything that makes a vector what it is."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumb:
    """Thumbnails, as twins are found by: whoever compares two takes the best of eight poses."""

    name: str = THUMB
    preprocess_hash: str = ""

    @property
    def digest(self) -> str:
        """Of the code version alone."""
        return digest_of(code=THUMB_VERSION)

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """See Encoder; (n, 1024)."""
        return twins.vectors([thumbnail(_grey(raw)).tobytes() for raw in images])


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """What principal components will be fitted on, which names their vectors before they are.

    train: the samples of the train split, and no others.
    """

    spec: PreprocessSpec
    train: tuple[str, ...]
    components: int = COMPONENTS
    name: str = PIXELS

    @property
    def preprocess_hash(self) -> str:
        """The problem's own."""
        return self.spec.sha256

    @property
    def digest(self) -> str:
        """Of code version, preprocess, and whom it is fitted on."""
        train = hashlib.sha256("\n".join(sorted(self.train)).encode()).hexdigest()
        return digest_of(
            code=pca.VERSION,
            preprocess=self.spec.sha256,
            train=train,
            components=self.components,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pixels:
    """Flattened pixels, standardised and projected on principal components of the train split."""

    spec: PreprocessSpec
    fit: Fit
    digest: str
    name: str = PIXELS

    @property
    def preprocess_hash(self) -> str:
        """The problem's own."""
        return self.spec.sha256

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """See Encoder; (n, components)."""
        tensors = [flat(preprocess.frame(raw, self.spec)[None], self.spec)[0] for raw in images]
        rows = [self.fit.project(tensor) for tensor in tensors]
        return np.array(rows, np.float32).reshape(len(rows), -1)


def flat(frames: NDArray[np.uint8], spec: PreprocessSpec) -> Vectors:
    """The tensors of (n, size, size, channels) frames as rows, (n, d)."""
    return preprocess.to_tensor(frames, spec).reshape(len(frames), -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class OfPackage:
    """The penultimate layer of a model package; the folder has to be there where it encodes."""

    name: str
    folder: Path
    package_digest: str
    preprocess_hash: str

    @property
    def digest(self) -> str:
        """Of the package, weights and card alike."""
        return digest_of(code="package-1", package=self.package_digest)

    def encode(self, images: Sequence[bytes]) -> Vectors:
        """See Encoder; (n, width of the backbone)."""
        engine = _engine(self.folder, self.package_digest)
        spec = engine.package.card.preprocess
        frames = [preprocess.frame(raw, spec) for raw in images]
        shape = (len(frames), spec.size_px, spec.size_px, spec.channels)
        pixels = np.array(frames, np.uint8).reshape(shape)
        return predict.outputs(engine, pixels, batch_size=1)[1]


@lru_cache(maxsize=2)
def _engine(folder: Path, digest: str) -> Engine:
    return predict.load(package.open_verified(folder, expected=digest), threads=THREADS)


def _grey(raw: bytes) -> NDArray[np.uint8]:
    """Brightness of stored bytes, (h, w): as vetting took it."""
    if raw.startswith(b"\xff\xd8"):
        return jpeg.brightness(raw)
    with Image.open(io.BytesIO(raw), formats=("PNG",)) as opened:
        return np.asarray(opened.convert("L"))


def fit(frames: NDArray[np.uint8], rows: NDArray[np.int64], fitting: Fitting) -> Fit:
    """Fit principal components on some rows of (n, size, size, channels) frames."""

    def tensors(some: slice) -> Vectors:
        return flat(frames[rows[some]], fitting.spec)

    return pca.fit(tensors, len(rows), fitting.components)
