"""What is called need not be the most probable class: each figure goes by what is called."""

from dataclasses import replace

import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.evaluation import abstention, comparison, evaluate, labels_in_doubt, metrics, subgroups
from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import gates
from neuro.promotion.gates import PromotionConfig
from neuro.reports import answers
from tests.neuro.evaluation.answers import evaluation

N = 40
LIKELIER = np.tile([0.7, 0.3], (N, 1))  # class a, throughout
TARGETS = [0] * (N // 2) + [1] * (N // 2)


def model(called: list[int]) -> Evaluation:
    sets = np.eye(2, dtype=bool)[called]
    return evaluation(LIKELIER, TARGETS, called=called, sets=sets, ood_scores=[0.5] * N)


ALL_RIGHT, ALL_A = model(TARGETS), model([0] * N)


def test_right_is_what_is_called_right_and_its_probability_the_confidence() -> None:
    assert ALL_RIGHT.is_right.all()
    assert set(ALL_RIGHT.confidence[N // 2 :].tolist()) == {0.3}
    accuracy = ALL_RIGHT.metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == 1.0
    assert ALL_RIGHT.confusion.tolist() == [[N // 2, 0], [0, N // 2]]


def test_the_answered_are_right_where_they_are_called_right() -> None:
    decided = abstention.decisions(ALL_RIGHT)
    assert decided is not None
    assert (decided.answered, decided.right_of_answered) == (1.0, 1.0)


def test_the_recall_of_a_subgroup_is_of_what_is_called() -> None:
    found = subgroups.compare(ALL_RIGHT, {"view": np.array(["left", "right"] * (N // 2))})
    assert [each.accuracy.value for each in found.shown] == [1.0, 1.0]


def test_two_models_differ_in_what_they_call() -> None:
    found = comparison.compare(ALL_RIGHT, ALL_A)
    assert found.differences[0].value == 0.5
    assert len(found.gained) == N // 2


def test_the_gate_compares_what_is_called() -> None:
    found = gates.decide(ALL_A, ALL_RIGHT, recall_floors={}, config=PromotionConfig())
    assert found.gates[0].is_refuted


def test_a_case_is_told_by_what_it_is_called() -> None:
    told = answers.case(ALL_RIGHT, N - 1)
    assert (told["says"], told["sure"], told["more_probable"]) == ("b", 0.3, "a")
    assert answers.case(ALL_RIGHT, 0)["more_probable"] == ""


def test_a_label_is_doubted_by_what_the_network_calls_and_not_for_being_rare() -> None:
    """Before the shares are put back the network says b, as the label does."""
    pooled = evaluate.pool([ALL_RIGHT])
    assert pooled.balanced is None
    balanced = np.eye(2)[TARGETS] * 0.8 + 0.1
    judged = labels_in_doubt.network_says(replace(pooled, balanced=balanced))
    assert (judged.argmax(axis=1) == TARGETS).all()
    assert (labels_in_doubt.network_says(pooled) == LIKELIER).all()


def test_a_number_of_no_class_is_refused() -> None:
    zeros = np.zeros(N, np.int64)
    with pytest.raises(ConfigError, match="numbers below 2"):
        metrics.difference("accuracy", (zeros, zeros - 1), TARGETS, ["g"] * N, "ab")
    with pytest.raises(ConfigError, match="as many of each"):
        metrics.difference("accuracy", (zeros, zeros[1:]), TARGETS, ["g"] * N, "ab")
