"""How long two models take for an answer, measured in turns: whatever else runs slows both."""

from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from neuro.prediction import predict
from neuro.prediction.predict import Engine

Asked = tuple[Engine, NDArray[np.uint8]]


def ratio(first: Asked, second: Asked, *, rounds: int, clock: Callable[[], float]) -> float:
    """The time of the first as a multiple of that of the second, the median of the rounds.

    first, second: an engine with the pixels of one batch, (n, size, size, channels) of its own
    preprocess. clock: seconds from any start.
    """
    ratios = []
    for number in range(rounds + 1):
        seconds = [_seconds(*asked, clock) for asked in (first, second)]
        if number:  # the first round fills caches
            ratios.append(seconds[0] / max(seconds[1], _LEAST_S))
    return median(ratios)


_LEAST_S = 1e-6


def _seconds(engine: Engine, pixels: NDArray[np.uint8], clock: Callable[[], float]) -> float:
    started = clock()
    predict.outputs(engine, pixels, batch_size=len(pixels))
    return clock() - started
