"""Shares of what a model decides, counted by hand, and their intervals."""

import numpy as np
import pytest

from neuro.evaluation import shares
from neuro.sample import FEW_GROUPS
from tests.neuro.evaluation.answers import evaluation, sure

# Called a, a, b, b; the last is out of scope, the third cannot be told apart.
FOUR = evaluation(
    sure([0.9, 0.8, 0.4, 0.1]),
    [0, 1, 0, 1],
    sets=np.array([[True, False], [True, False], [True, True], [False, True]]),
    ood_scores=[0.5, 0.5, 0.5, 2.0],
)


def test_shares_are_those_counted_by_hand() -> None:
    found = {metric.name: (metric.value, metric.n) for metric in shares.of_decisions(FOUR)}
    assert found == {
        "answered": (0.5, 4),
        "in_scope": (0.75, 4),
        "covered": (0.75, 4),
        "wrong_of_answered": (0.5, 2),
        "covered_a": (1.0, 2),
        "covered_b": (0.5, 2),
    }


@pytest.mark.parametrize("n_groups", [5, 30, 900])
def test_a_share_of_right_answers_has_the_interval_of_accuracy(n_groups: int) -> None:
    rng = np.random.default_rng(n_groups)
    groups = [f"g{number}" for number in rng.integers(n_groups, size=2 * n_groups)]
    of_all = evaluation(sure(rng.random(2 * n_groups)), rng.integers(2, size=2 * n_groups), groups)
    accuracy, found = of_all.metric("accuracy"), shares.share("right", of_all.is_right, groups)
    assert accuracy is not None
    assert [found.value, found.low, found.high] == pytest.approx(
        [accuracy.value, accuracy.low, accuracy.high]
    )
    assert (found.groups, found.mark) == (accuracy.groups, accuracy.mark)


def test_one_group_has_an_interval_and_a_mark() -> None:
    found = shares.share("answered", np.array([True, True, True]), ["g", "g", "g"])
    assert (found.groups, found.mark) == (1, FEW_GROUPS)
    assert (round(found.low, 3), found.high) == (0.025, 1.0)  # Clopper and Pearson of one


def test_nothing_answered_has_no_share_wrong_and_no_sets_no_share() -> None:
    never = evaluation(sure([0.9]), [0], sets=np.array([[True, True]]), ood_scores=[0.5])
    names = {metric.name for metric in shares.of_decisions(never)}
    assert names == {"answered", "in_scope", "covered", "covered_a"}
    assert shares.of_decisions(evaluation(sure([0.9]), [0])) == []
