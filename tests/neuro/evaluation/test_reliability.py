"""What confidence is worth, and what is gained by not answering."""

import numpy as np
import pytest

from neuro.evaluation import reliability
from tests.neuro.evaluation.answers import evaluation, sure


def test_a_bin_tells_the_share_right_of_answers_of_like_confidence() -> None:
    """Twenty at 0.9, of which 15 are right, and twenty at 0.7, all right."""
    found = reliability.diagram(
        evaluation(sure([0.9] * 20 + [0.7] * 20), [0] * 15 + [1] * 5 + [0] * 20)
    )
    assert [(each.confidence, each.right, each.n) for each in found] == [
        (pytest.approx(0.7), 1.0, 20),
        (pytest.approx(0.9), 0.75, 20),
    ]
    assert found[1].low < 0.75 < found[1].high
    assert found[0].low == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson, all right


def test_a_bin_of_large_groups_has_a_wider_interval() -> None:
    targets = ([0] * 15 + [1] * 5) * 4
    alone = reliability.diagram(evaluation(sure([0.9] * 80), targets))[0]
    groups = [f"g{number // 8}" for number in range(80)]
    together = reliability.diagram(evaluation(sure([0.9] * 80), sorted(targets), groups))[0]
    assert (together.n, together.groups) == (80, 10)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_the_surest_are_answered_first() -> None:
    answered, risk = reliability.risk_coverage(evaluation(sure([0.9, 0.8, 0.7, 0.6]), [0, 1, 0, 1]))
    assert answered.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == [0, 1 / 2, 1 / 3, 2 / 4]


def test_equally_sure_answers_are_given_together() -> None:
    answered, risk = reliability.risk_coverage(evaluation(sure([0.9, 0.7, 0.7]), [0, 1, 0]))
    assert answered.tolist() == [1 / 3, 1.0]
    assert risk.tolist() == [0, 1 / 3]


def test_a_share_can_be_answered_at_each_risk() -> None:
    values = np.linspace(0.99, 0.6, 100)
    targets = [0] * 80 + [1] * 20  # the less sure fifth is wrong
    found = reliability.answered_at(evaluation(sure(values.tolist()), targets))
    assert found == {0.01: 0.80, 0.02: 0.81, 0.05: 0.84, 0.10: 0.88}


def test_nothing_can_be_answered_where_the_surest_is_wrong() -> None:
    assert set(reliability.answered_at(evaluation(sure([0.9]), [1])).values()) == {0.0}
