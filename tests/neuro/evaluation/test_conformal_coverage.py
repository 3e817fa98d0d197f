"""How often sets hold the truth, of all and of each class."""

import numpy as np

from neuro.evaluation import conformal_coverage
from neuro.evaluation.conformal_coverage import Coverage
from tests.neuro.evaluation.answers import evaluation, sure

SETS = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], dtype=bool)


def test_sets_are_counted_for_all_and_for_each_class() -> None:
    found = conformal_coverage.by_class(evaluation(sure([0.9] * 4), [0, 0, 1, 1]), SETS)
    assert found == [
        Coverage(name="", n=4, covered=0.5, size=1.0, single=0.5, empty=0.25),
        Coverage(name="a", n=2, covered=1.0, size=1.5, single=0.5, empty=0.0),
        Coverage(name="b", n=2, covered=0.0, size=0.5, single=0.5, empty=0.5),
    ]


def test_a_class_that_is_not_there_has_no_coverage() -> None:
    found = conformal_coverage.by_class(evaluation(sure([0.9] * 4), [0] * 4), SETS)
    assert [each.name for each in found] == ["", "a"]


def test_answers_without_sets_have_none() -> None:
    assert conformal_coverage.by_class(evaluation(sure([0.9]), [0]), None) == []
