"""Labels that every judge contradicts: which, in which order, and what it makes of the figures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from neuro.errors import ConfigError, DamagedError
from neuro.evaluation import evaluate, labels_in_doubt
from neuro.evaluation.labels_in_doubt import Answers, LabelsInDoubt
from neuro.passport import label_errors, out_of_fold
from tests.neuro.pictures import smooth, vectors

CLASSES = ("a", "b", "c")
SURE_A, SURE_B, SURE_C = [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]
RATHER_B = [0.35, 0.6, 0.05]


def answers(labels: list[int], *judges: list[list[float]]) -> Answers:
    return Answers(
        judges=tuple(f"judge {number}" for number in range(len(judges))),
        classes=CLASSES,
        sample_ids=np.array([f"s{number}" for number in range(len(labels))]),
        targets=np.array(labels),
        probabilities=np.array(judges),
    )


def doubted(given: Answers) -> list[str]:
    return [label.sample_id for label in labels_in_doubt.find(given)]


def test_a_label_is_in_doubt_if_every_judge_contradicts_it() -> None:
    labels = [0, 0, 1, 1]
    one = [SURE_A, SURE_B, SURE_B, SURE_A]
    other = [SURE_A, SURE_B, SURE_B, SURE_B]
    assert doubted(answers(labels, one, other)) == ["s1"]
    assert set(doubted(answers(labels, one))) == {"s1", "s3"}


def test_the_first_judge_must_be_as_sure_as_it_is_of_that_class_elsewhere() -> None:
    unsure, sure = [SURE_A, RATHER_B, SURE_B, SURE_B], [SURE_A, SURE_B, SURE_B, SURE_B]
    assert doubted(answers([0, 0, 1, 1], unsure, sure)) == []  # 0.6 of b, whose mean is 0.9
    assert doubted(answers([0, 0, 1, 1], sure, unsure)) == ["s1"]


def test_the_least_supported_label_comes_first_with_what_each_judge_says() -> None:
    one = [RATHER_B, SURE_B, SURE_A, [0.3, 0.6, 0.1]]
    other = [SURE_B, SURE_C, SURE_A, RATHER_B]
    first, second = labels_in_doubt.find(answers([0, 0, 0, 1], one, other))
    assert (first.sample_id, second.sample_id) == ("s1", "s0")  # means 0.05 and 0.2
    assert [(each.judge, each.says, each.of_label) for each in first.opinions] == [
        ("judge 0", "b", 0.05),
        ("judge 1", "c", 0.05),
    ]
    assert (second.label, second.instead) == ("a", "b")


def test_a_class_that_nothing_is_labelled_with_is_no_ground_for_a_doubt() -> None:
    assert doubted(answers([0, 0, 1], [SURE_A, SURE_C, SURE_B])) == []


@pytest.mark.parametrize("judges", [[[SURE_A]], [[SURE_A, [np.nan, 0.5, 0.5]]]])
def test_answers_that_do_not_fit_the_samples_or_are_no_numbers_are_refused(
    judges: list[list[list[float]]],
) -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        answers([0, 0], *judges)


def test_planted_labels_are_found_and_no_others() -> None:
    """Two kinds of pictures with noise; the network's place is taken by a classifier of pixels."""
    rng, n = np.random.default_rng(0), 160
    truth = np.arange(n) % 2
    drawn = [smooth(kind, 32).astype(float) + rng.normal(0, 12, (32, 32)) for kind in truth]
    looks = vectors([np.clip(each, 0, 255).astype(np.uint8) for each in drawn])
    planted = [5, 40, 77, 110, 151]
    labels = truth.copy()
    labels[planted] = 1 - truth[planted]
    groups = np.array([f"g{number % 2}-{number // 4}" for number in range(n)])
    network = out_of_fold.probabilities(
        LogisticRegression, looks, labels, groups.tolist(), otherwise=np.array([0.5, 0.5])
    )
    similar = label_errors.judge(looks, labels, groups, 2)
    given = Answers(
        judges=("network", "similar"),
        classes=("coarse", "fine"),
        sample_ids=np.arange(n).astype(np.str_),
        targets=labels,
        probabilities=np.stack([network, similar]),
    )
    assert sorted(map(int, doubted(given))) == planted
    assert given.agreement == (0.9688, 0.9688)  # all but 5 of 160


def pooled(targets: list[int], probabilities: NDArray[np.float64]) -> evaluate.Evaluation:
    ids = np.array([f"s{number}" for number in range(len(targets))])
    return evaluate.of_answers(
        evaluate.Answers(
            split="folds",
            model_version="",
            classes=CLASSES,
            sample_ids=ids,
            groups=ids,
            targets=np.array(targets),
            called=probabilities.argmax(axis=1),
            probabilities=probabilities,
        )
    )


def test_figures_stand_side_by_side_and_the_main_ones_leave_nothing_out() -> None:
    given = answers([0, 0, 1, 1, 1], [SURE_A, SURE_B, SURE_B, SURE_B, SURE_A])
    (accuracy,) = labels_in_doubt.side_by_side(
        pooled([0, 0, 1, 1, 1], given.probabilities[0]),
        [label for label in labels_in_doubt.find(given) if label.sample_id == "s1"],
        ["accuracy"],
    )
    assert accuracy.all_labels is not None
    assert accuracy.without is not None
    assert (accuracy.all_labels.value, accuracy.all_labels.n) == (0.6, 5)
    assert (accuracy.without.value, accuracy.without.n) == (0.75, 4)


def test_where_every_label_is_in_doubt_there_is_no_figure_without_them() -> None:
    given = answers([0, 1], [SURE_B, SURE_A])
    found = [
        replace(label, sample_id=name)
        for name in ("s0", "s1")
        for label in labels_in_doubt.find(answers([0, 1, 1], [SURE_B, SURE_B, SURE_B]))
    ]
    (row,) = labels_in_doubt.side_by_side(pooled([0, 1], given.probabilities[0]), found, ["auroc"])
    assert (row.all_labels is None, row.without) == (False, None)


def listed() -> LabelsInDoubt:
    given = answers([0, 0, 1, 1], [SURE_A, SURE_B, SURE_B, SURE_B])
    return LabelsInDoubt(
        problem="brain",
        release="brain-0001-c7f7c6a0",
        content_hash="c7" * 32,
        folds=3,
        model="cnn",
        run_id="",
        n=4,
        judges=given.judges,
        agreement=given.agreement,
        labels=labels_in_doubt.find(given),
    )


def test_a_list_is_read_as_it_was_written_and_of_its_own_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(labels_in_doubt.to_json(listed()))
    assert labels_in_doubt.known([path], "c7" * 32).lists == (listed(),)
    assert labels_in_doubt.known([path], "d8" * 32) == labels_in_doubt.Known()


def test_a_damaged_list_is_named_with_its_field_and_the_others_are_read(tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole.json", tmp_path / "damaged.json"
    whole.write_bytes(labels_in_doubt.to_json(listed()))
    facts = json.loads(whole.read_bytes())
    facts["labels"][0]["label"] = 5
    damaged.write_text(json.dumps(facts))
    found = labels_in_doubt.known([damaged, whole], "c7" * 32)
    assert found.lists == (listed(),)
    (said,) = found.damaged
    assert "damaged.json: labels[0].label must be text, got 5; make it again with" in said
    with pytest.raises(DamagedError):
        labels_in_doubt.read(damaged)


def test_a_row_says_who_doubts_the_label_and_whether_the_passport_suspects_it() -> None:
    (row,) = listed().rows({"s1"})
    assert (row["doubted_by"], row["is_suspect"]) == ("judge 0", True)
    assert [row["is_suspect"] for row in listed().rows(())] == [False]
