"""Which runtime answers fastest here and still answers the same, asked of this very network.

Processor flags do not tell: what bf16 gains, and how far its rounding carries, differs by network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NeuroError
from neuro.models.package import Package
from neuro.prediction import predict, runtimes
from neuro.prediction.predict import Engine
from neuro.prediction.runtimes import EXACT, Name

FRAMES = 64  # that are asked: two batches of each stream
TOLERANCE = 0.01  # of a probability, beside the runtime that the package was calibrated with
_GAIN = 1.1  # by which another must be faster
_ROUNDS = 2  # in turns, after one to warm up
_ENOUGH_S, _MOST_TIMES, _LEAST_S = 0.2, 16, 1e-6  # of a round

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What was chosen, and why. images_per_s: of each that was tried."""

    name: Name
    why: str
    images_per_s: Mapping[Name, float]


def choose(package: Package, pixels: Pixels, *, threads: int, clock: Callable[[], float]) -> Choice:
    """Try every runtime that this machine has.

    pixels: some frames of what is to be predicted. clock: seconds from any start. Raises what
    ``runtimes.opened`` raises.
    """
    engines, refused = _opened(package, pixels, threads)
    if len(engines) == 1:
        return Choice(name=EXACT, why=f"this machine has no other{refused}", images_per_s={})
    rates = _rates(engines, pixels, clock)
    told = ", ".join(f"{engines[name].runtime} {rate:.3g} images/s" for name, rate in rates.items())
    for name in sorted(rates, key=lambda name: rates[name], reverse=True):
        if name == EXACT or rates[name] < _GAIN * rates[EXACT]:
            break
        differs = _difference(engines[EXACT], engines[name], pixels)
        if not differs:
            return Choice(name=name, why=told, images_per_s=rates)
        refused += f"; {engines[name].runtime} is not taken, {differs}"
    return Choice(name=EXACT, why=f"{told}{refused}", images_per_s=rates)


def _opened(package: Package, pixels: Pixels, threads: int) -> tuple[dict[Name, Engine], str]:
    """Each that answers, and why another does not: the exact one still does."""
    engines = {EXACT: predict.load(package, threads=threads)}
    refused = ""
    for name in runtimes.at_hand():
        if name == EXACT:
            continue
        try:
            engine = predict.load(package, threads=threads, runtime=name)
            predict.outputs(engine, pixels)
        except (NeuroError, RuntimeError) as error:  # torch's of a device's memory, too
            refused += f"; {name} is not taken, it fails: {' '.join(str(error).split())[:160]}"
        else:
            engines[name] = engine
    return engines, refused


def _rates(
    engines: Mapping[Name, Engine], pixels: Pixels, clock: Callable[[], float]
) -> dict[Name, float]:
    """Images a second of each, the best of the rounds: whatever else runs only slows.

    A first round, which warms up, says how often the frames are asked in the others: what a call
    costs by itself must not decide.
    """
    warm = [_seconds(engine, pixels, 1, clock) for engine in engines.values()]
    times = min(_MOST_TIMES, ceil(_ENOUGH_S / max(warm)))
    seconds: dict[Name, list[float]] = {name: [] for name in engines}
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            seconds[name].append(_seconds(engine, pixels, times, clock) / times)
    return {name: len(pixels) / min(taken) for name, taken in seconds.items()}


def _seconds(engine: Engine, pixels: Pixels, times: int, clock: Callable[[], float]) -> float:
    rows = np.tile(np.arange(len(pixels)), times)
    started = clock()
    predict.outputs(engine, pixels, rows=rows)
    return max(clock() - started, _LEAST_S)


def _difference(exact: Engine, other: Engine, pixels: Pixels) -> str:
    """How the answers of another differ by too much; "" where they do not."""
    ours, theirs = (predict.answer(engine, pixels).calibrated for engine in (exact, other))
    n_others = int((ours.called != theirs.called).sum())
    if n_others:
        return f"it calls {n_others} of {len(pixels)} images otherwise"
    most = float(np.abs(ours.probabilities - theirs.probabilities).max())
    return f"a probability differs by {most:.3f}" if most > TOLERANCE else ""
