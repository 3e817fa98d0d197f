"""What one model gets right and another wrong."""

from dataclasses import replace

import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.evaluation import comparison
from tests.neuro.evaluation.answers import evaluation, sure

TARGETS = [0, 0, 0, 1, 1, 1]
MODEL = evaluation(sure([0.9, 0.8, 0.2, 0.1, 0.6, 0.7]), TARGETS)  # right in 0, 1, 3
OTHER = evaluation(sure([0.3, 0.7, 0.6, 0.2, 0.1, 0.8]), TARGETS)  # right in 1, 2, 3, 4


def test_each_image_that_one_alone_gets_right_is_named_the_surest_first() -> None:
    found = comparison.compare(MODEL, OTHER)
    assert found.gained.tolist() == [0]
    assert found.lost.tolist() == [4, 2]  # the other is sure of 4 at 0.9, of 2 at 0.6
    assert found.both_wrong == 1


def test_the_difference_is_that_of_the_model_less_the_other() -> None:
    accuracy, macro_f1 = comparison.compare(MODEL, OTHER).differences
    assert (accuracy.name, accuracy.value) == ("accuracy", pytest.approx(3 / 6 - 4 / 6))
    assert accuracy.low < 0 < accuracy.high
    assert macro_f1.name == "macro_f1"


def test_a_model_beside_itself_differs_in_nothing() -> None:
    found = comparison.compare(MODEL, MODEL)
    assert (len(found.gained), len(found.lost), found.differences[0].value) == (0, 0, 0.0)


def test_other_samples_are_not_compared() -> None:
    moved = replace(OTHER, sample_ids=np.roll(OTHER.sample_ids, 1))
    with pytest.raises(ConfigError, match="different samples"):
        comparison.compare(MODEL, moved)
