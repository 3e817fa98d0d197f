"""What a model is asked by: the runtime that is named, or the fastest that answers the same."""

import time
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from logging import getLogger

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.models.package import Package
from neuro.prediction import choose_runtime, predict, runtimes
from neuro.prediction.runtimes import EXACT, NAMES, Name
from tasks.load import models
from tasks.load.models import Model
from tasks.record import remembered
from tasks.runtime import machine_facts, settings

AUTO = "auto"
_PLACE = "engines"

_log = getLogger(__name__)


def require(name: str) -> None:
    """Raise ConfigError for a name that is none."""
    if name not in (AUTO, *NAMES):
        raise ConfigError(f"engine must be one of {', '.join((AUTO, *NAMES))}, got {name!r}")


def opened(model: Model, asked: str, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Model:
    """The model in the runtime for these rows of frames, (n, size, size, channels) uint8.

    asked: a name, or ``auto``: what was measured once for a package and machine is kept, and for a
    few frames nothing is measured. Raises what ``runtimes.opened`` raises.
    """
    require(asked)
    name = _fastest(model, pixels, rows) if asked == AUTO else _named(asked)
    threads = settings.cores()
    if name == model.engine.runtime.name and threads <= models.THREADS:
        return model
    engine = predict.load(model.package, threads=threads, runtime=name)
    return replace(model, engine=engine)


def for_requests(model: Model, asked: str, frames: Callable[[], NDArray[np.uint8]]) -> Model:
    """The model in the runtime for images that come one by one.

    frames: some of what it will be asked about, FRAMES at least, called where nothing is kept.
    """
    require(asked)
    package = model.package
    name = _named(asked) if asked != AUTO else _kept(package) or _measured(model, frames())
    engine = predict.load(package, threads=settings.cores(), runtime=name, batch_size=1)
    return replace(model, engine=engine)


def _fastest(model: Model, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Name:
    if kept := _kept(model.package):
        return kept
    if len(rows) < choose_runtime.FRAMES:
        return EXACT
    some = pixels[rows[np.linspace(0, len(rows) - 1, choose_runtime.FRAMES).astype(np.int64)]]
    return _measured(model, some)


def _kept(package: Package) -> Name | None:
    """What was measured before for a package on this machine, and can still be had."""
    kept = remembered.get(_PLACE, _key(package))
    return _named(kept) if kept in runtimes.at_hand() else None


def _measured(model: Model, some: NDArray[np.uint8]) -> Name:
    threads = settings.cores()
    chosen = choose_runtime.choose(model.package, some, threads=threads, clock=time.perf_counter)
    _log.info("model %s answers by %s here: %s", model.version[:12], chosen.name, chosen.why)
    remembered.put(_PLACE, _key(model.package), chosen.name)
    return chosen.name


def _key(package: Package) -> str:
    facts = machine_facts.facts()
    return (
        f"{package.digest[:16]}, {settings.cores()} threads of {facts['env.processor']}, "
        f"{facts.get('env.gpu', 'no GPU')}, onnxruntime {onnxruntime.__version__}, "
        f"openvino {metadata.version('openvino')}, torch {facts['env.torch']}"
    )


def _named(name: str) -> Name:
    return next(each for each in NAMES if each == name)
