"""How long two models take, measured in turns."""

from collections.abc import Iterator
from itertools import accumulate, chain
from pathlib import Path

import numpy as np

from neuro.models import package
from neuro.prediction import latency, predict
from tests.neuro.prediction.test_predict import SPEC, Brightness, card


def readings(*rounds: tuple[float, float]) -> Iterator[float]:
    """Of a clock, before and after each answer: of the first and the second in each round."""
    steps = chain.from_iterable((0.0, seconds) for pair in rounds for seconds in pair)
    return accumulate(steps)


def test_it_is_the_median_of_the_rounds_after_the_first(tmp_path: Path) -> None:
    folder = package.save(tmp_path / "package", Brightness(), card())
    engine = predict.load(package.open_verified(folder))
    asked = (engine, np.zeros((4, SPEC.size_px, SPEC.size_px, SPEC.channels), np.uint8))
    clock = readings((90, 1), (6, 2), (50, 1), (2, 4))
    assert latency.ratio(asked, asked, rounds=3, clock=clock.__next__) == 3.0
    assert next(clock, None) is None
