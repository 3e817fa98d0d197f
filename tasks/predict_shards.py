"""Frames in shards, answered wherever the run's task runner puts them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from logging import getLogger
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.models import package
from neuro.prediction import predict, runtimes
from neuro.prediction.predict import Engine
from neuro.prediction.runtimes import EXACT, Name
from neuro.sample import Prediction
from tasks.load.models import Model
from tasks.record import registry, tracking
from tasks.record.registry import ModelVersion
from tasks.runtime import settings, shards
from tasks.runtime.steps import step

_OPENING = Lock()
_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SentModel:
    """A model as a worker is told of it: where its package is. Here it is open already.

    engine: None where it was sent to, and is opened there; a processor each, as a cluster counts.
    """

    version: str
    folder: Path
    digest: str
    registered: ModelVersion | None
    runtime: Name
    engine: Engine | None

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """What is open does not travel."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "engine"}
        return partial(SentModel, engine=None, **facts), ()

    def opened(self) -> Engine:
        """By the runtime it was sent with, or the exact one where this machine has not that.

        Raises ConfigError where the package is not there, ServerError where MLflow is away, and
        PackageError where it is another than was sent.
        """
        if self.engine is not None:
            return self.engine
        with _OPENING:  # a worker of several threads opens it once
            return _opened(self.folder, self.digest, self.registered, self.runtime)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameShard:
    """Some frames and the model that is asked.

    pixels: (n, size, size, channels) uint8 of the model's preprocess, a row for each sample id.
    revision, lock_hash: of the code that cut it, as in ``tasks.runtime.settings``.
    """

    sample_ids: tuple[str, ...]
    pixels: NDArray[np.uint8]
    model: SentModel
    revision: str
    lock_hash: str

    @property
    def nbytes(self) -> int:
        """What travels with it; ``tasks.runtime.steps`` bounds how much of that is under way."""
        return self.pixels.nbytes


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredShard:
    """A prediction for each sample id, in their order. runtime: by which, as a person reads it."""

    predictions: list[Prediction]
    runtime: str


@dataclass(kw_only=True, slots=True)
class Pace:
    """How far a run has come, said as it goes. what: is counted, such as "images"."""

    total: int
    what: str
    done: int = 0
    started: float = field(default_factory=time.perf_counter)

    def add(self, n: int) -> None:
        """So many more are answered."""
        self.done += n
        _log.info(
            "%s of %s %s answered, %.0f a second, %.0f s left",
            *(f"{self.done:,}", f"{self.total:,}", self.what),
            *(self.per_s, (self.total - self.done) / max(self.per_s, 1e-9)),
        )

    @property
    def per_s(self) -> float:
        """Since the start."""
        return self.done / max(time.perf_counter() - self.started, 1e-9)


def cut(model: Model, sample_ids: Sequence[str], pixels: NDArray[np.uint8]) -> FrameShard:
    """A shard for this model, which is open here."""
    here = settings.load()
    sent = SentModel(
        version=model.version,
        folder=model.package.folder.absolute(),
        digest=model.package.digest,
        registered=model.registered,
        runtime=model.engine.runtime.name,
        engine=model.engine,
    )
    return FrameShard(
        sample_ids=tuple(sample_ids),
        pixels=pixels,
        model=sent,
        revision=here.revision,
        lock_hash=here.lock_hash,
    )


@step(name="predict shard")
def predict_shard(shard: FrameShard) -> AnsweredShard:
    """Answers to the frames of a shard, where the worker is.

    Raises ConfigError if this worker runs other code, and what ``SentModel.opened`` and
    ``predict.predict`` raise.
    """
    shards.require_same_code(shard.revision, shard.lock_hash)
    engine = shard.model.opened()
    predictions = predict.predict(
        engine, shard.pixels, shard.sample_ids, model_version=shard.model.version
    )
    return AnsweredShard(predictions=predictions, runtime=str(engine.runtime))


@lru_cache(maxsize=2)
def _opened(folder: Path, digest: str, registered: ModelVersion | None, runtime: Name) -> Engine:
    """On a worker, for all its shards of a model."""
    if folder.is_dir():
        found = package.open_verified(folder, expected=digest)
    elif registered is not None and settings.load().mlflow_tracking_uri is not None:
        with tracking.server_errors():
            found = registry.copied(registered)
    else:
        raise ConfigError(
            f"package {folder} is not on this worker; a cluster of several machines needs a model "
            "of the registry and MLFLOW_TRACKING_URI, or a folder that all of them share"
        )
    name = runtime if runtime in runtimes.at_hand() else EXACT
    return predict.load(found, threads=1, runtime=name)
