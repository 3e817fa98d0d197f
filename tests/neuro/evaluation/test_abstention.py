"""What a model decides, and how often it is then right."""

import numpy as np

from neuro.evaluation import abstention
from neuro.evaluation.abstention import Decisions
from tests.neuro.evaluation.answers import evaluation, sure

SETS = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [1, 0]], dtype=bool)


def test_one_class_in_scope_is_an_answer_and_all_else_is_none() -> None:
    """The first is right, the second wrong, two are undecided, the last is out of scope."""
    found = abstention.decisions(
        evaluation(
            sure([0.9, 0.9, 0.6, 0.5, 0.9]),
            [0, 1, 0, 0, 0],
            sets=SETS,
            ood_scores=[0.5, 1.0, 0.5, 0.5, 1.1],
        )
    )
    assert found == Decisions(
        answered=0.4, abstained=0.4, out_of_scope=0.2, right_of_answered=0.5, n_answered=2, n=5
    )


def test_where_nothing_is_answered_nothing_is_right() -> None:
    found = abstention.decisions(evaluation(sure([0.9]), [0], sets=SETS[:1], ood_scores=[2.0]))
    assert found is not None
    assert (found.right_of_answered, found.n_answered, found.out_of_scope) == (None, 0, 1.0)


def test_answers_without_sets_decide_nothing() -> None:
    assert abstention.decisions(evaluation(sure([0.9]), [0])) is None
