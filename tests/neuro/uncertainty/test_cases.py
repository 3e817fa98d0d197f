"""Images of one case as one answer: by hand, and by what calibration promises of drawn cases."""

import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.problems.problem import CaseRule
from neuro.uncertainty import cases
from neuro.uncertainty.cases import CaseCalibration, ImageAnswers

CLASSES = ("benign", "malignant")
MEAN, MOST = CaseRule(rule="mean"), CaseRule(rule="most", finding="malignant")


def images(
    malignant: list[float], groups: list[str], in_scope: list[bool] | None = None
) -> ImageAnswers:
    shares = np.array(malignant)
    probabilities = np.column_stack([1 - shares, shares])
    return ImageAnswers(
        classes=CLASSES,
        probabilities=probabilities,
        balanced=probabilities,
        is_in_scope=np.array(in_scope or [True] * len(groups)),
        groups=np.array(groups),
    )


def fitted(rule: CaseRule, quantile: float = 0.5) -> CaseCalibration:
    return CaseCalibration(
        rule=rule.rule, finding=rule.finding, class_quantiles=(quantile,) * 2, class_counts=(9, 9)
    )


ANSWERS = images([0.9, 0.1, 0.4, 0.2], ["b", "a", "a", "b"])


@pytest.mark.parametrize(("rule", "expected"), [(MEAN, [0.25, 0.55]), (MOST, [0.4, 0.9])])
def test_images_are_combined_by_the_rule(rule: CaseRule, expected: list[float]) -> None:
    found = cases.apply(fitted(rule), ANSWERS)
    assert found.names.tolist() == ["a", "b"]
    assert found.n_images.tolist() == [2, 2]
    assert found.probabilities[:, 1] == pytest.approx(expected, abs=1e-6)
    assert found.called.tolist() == [int(share > 0.5) for share in expected]
    assert found.conformal_sets[:, 1].tolist() == [share >= 0.5 for share in expected]


@pytest.mark.parametrize("rule", [MEAN, MOST])
def test_an_image_out_of_scope_does_not_count_unless_none_is_in_scope(rule: CaseRule) -> None:
    answers = images([0.9, 0.2, 0.7], ["a", "a", "b"], [False, True, False])
    found = cases.apply(fitted(rule), answers)
    assert found.n_in_scope.tolist() == [1, 0]
    assert found.probabilities[:, 1] == pytest.approx([0.2, 0.7], abs=1e-6)


@pytest.mark.parametrize(("rule", "n", "n_mixed"), [(MEAN, 2, 1), (MOST, 3, 0)])
def test_a_case_of_several_labels_is_what_the_rule_says_or_left_out(
    rule: CaseRule, n: int, n_mixed: int
) -> None:
    answers = images([0.5] * 5, ["a", "a", "b", "c", "c"])
    targets = np.array([0, 1, 0, 1, 1])
    found = cases.fit(rule, answers, targets)
    assert (found.n, found.n_mixed) == (n, n_mixed)
    assert sum(found.class_counts) == n
    truth = cases.truth_of(found, CLASSES, answers.groups, targets)
    assert truth.tolist() == ([-1, 0, 1] if rule is MEAN else [1, 0, 1])


def test_without_a_rule_nothing_is_fitted() -> None:
    assert cases.fit(CaseRule(), ANSWERS, np.zeros(4, np.int64)) == CaseCalibration()


def drawn(rng: np.random.Generator, n: int) -> tuple[ImageAnswers, np.ndarray]:
    """Cases of one to six images, whose answers share most of their error."""
    sizes, truth = rng.integers(1, 7, n), rng.integers(0, 2, n)
    codes = np.repeat(np.arange(n), sizes)
    logit = 2 * (2 * truth - 1) + rng.normal(0, 2, n)
    said = 3 * (logit[codes] + rng.normal(0, 1.5, len(codes)))  # too sure of itself
    answers = images((1 / (1 + np.exp(-said))).tolist(), [f"{code:05d}" for code in codes])
    return answers, truth[codes]


@pytest.mark.parametrize("rule", [MEAN, MOST])
def test_sets_of_cases_miss_the_truth_as_rarely_as_they_promise(rule: CaseRule) -> None:
    """An average over twenty fits of 300 cases each; the promise is 0.9."""
    rng, coverage = np.random.default_rng(0), []
    for _ in range(20):
        found = cases.fit(rule, *drawn(rng, 300))
        answers, targets = drawn(rng, 2000)
        said = cases.apply(found, answers)
        truth = cases.truth_of(found, CLASSES, answers.groups, targets)
        coverage.append(said.conformal_sets[np.arange(len(truth)), truth].mean())
    assert np.mean(coverage) == pytest.approx(0.9, abs=0.015)


def test_a_temperature_makes_the_probabilities_of_cases_honest() -> None:
    rng = np.random.default_rng(1)
    found = cases.fit(MEAN, *drawn(rng, 3000))
    answers, targets = drawn(rng, 6000)
    truth = cases.truth_of(found, CLASSES, answers.groups, targets)
    said = cases.apply(found, answers).probabilities
    blunt = cases.apply(
        CaseCalibration(rule="mean", class_quantiles=(1, 1), class_counts=(9, 9)), answers
    ).probabilities

    def loss(probabilities: np.ndarray) -> float:
        return -float(np.log(probabilities[np.arange(len(truth)), truth] + 1e-12).mean())

    assert found.temperature > 1
    assert loss(said) < loss(blunt)


def test_offsets_are_taken_back_where_a_class_is_called() -> None:
    probabilities = np.array([[0.8, 0.2]])
    offsets = (np.log(4.0), 0.0)
    assert cases.balanced_of(probabilities, offsets)[0] == pytest.approx([0.5, 0.5])
    assert cases.balanced_of(probabilities, ()) is probabilities


@pytest.mark.parametrize(
    ("rule", "finding", "says"),
    [
        ("median", "", "cases.rule"),
        ("mean", "malignant", "only then"),
        ("most", "", "cases.finding names a class"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: str, finding: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        CaseRule(rule=rule, finding=finding)
