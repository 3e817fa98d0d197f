"""A confidence from which on a risk holds, on images that it was not set on."""

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import operating_points
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.operating_points import DELTA, least_confidence
from tests.neuro.evaluation.answers import evaluation, sure


def drawn(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.str_]]:
    """Confidences that are honest: an answer at 0.8 is wrong in two of ten."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) > confidence, np.array([f"g{k}" for k in range(n)])


def test_the_risk_holds_in_nine_of_ten_draws() -> None:
    """The true risk of all answers from c on is (1 - c) / 2."""
    broken = 0
    for seed in range(200):
        found = least_confidence(*drawn(400, seed), 0.10)
        broken += found is not None and (1 - found) / 2 > 0.10
    assert broken / 200 <= DELTA


def test_a_larger_set_finds_a_lower_confidence_and_never_below_the_true_one_by_much() -> None:
    few, many = (least_confidence(*drawn(n, 1), 0.10) for n in (1000, 20_000))
    assert few is not None
    assert many is not None
    assert 0.79 < many < few


def test_few_groups_give_no_point() -> None:
    """Twenty without an error may still be wrong in one of ten."""
    confidence, _, groups = drawn(20, 0)
    assert least_confidence(confidence, np.zeros(20, bool), groups, 0.10) is None


def test_groups_are_counted_and_not_images() -> None:
    confidence, is_wrong, _ = drawn(400, 2)
    of_ten = np.array([f"g{number // 40}" for number in range(400)])
    assert least_confidence(confidence, is_wrong, of_ten, 0.10) is None


def answers(n_wrong: int) -> Evaluation:
    """Of class a and b in turn, sure of all; the first of class a are called b."""
    called = sure([0.99, 0.01] * 100)
    for row in range(n_wrong):
        called[2 * row] = called[2 * row][::-1]
    return evaluation(called, [0, 1] * 100)


def test_a_critical_class_has_points_of_its_own() -> None:
    points = operating_points.find(answers(15), answers(15), ["a", "b"])
    by_name = {(each.name, each.risk): each for each in points}
    assert by_name["a", 0.10].confidence is None
    assert by_name["b", 0.05].confidence is not None
    assert by_name["b", 0.05].wrong == 0
    assert by_name["b", 0.05].groups == 100
