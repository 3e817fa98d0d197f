"""Each figure is scikit-learn's, also with absent or tied classes, all right, or all wrong."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as theirs

from neuro.evaluation import estimates

KINDS = ("random", "absent", "tied", "one sample", "all right", "all wrong", "never called")
FEW, MANY = 20, 150  # draws of each kind; many make over 1,000 inputs
Case = tuple[NDArray[np.float64], NDArray[np.int64]]


def drawn(kind: str, seed: int) -> Case:
    """Probabilities, (n, k), and targets, (n,)."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    n = 1 if kind == "one sample" else int(rng.integers(2, 40))
    targets = rng.integers(k, size=n)
    if kind == "absent":
        targets = rng.integers(max(1, k - 1), size=n)
    probabilities = rng.dirichlet(np.ones(k), size=n)
    if kind == "tied":
        probabilities = np.round(probabilities * 4) + 1.0
    right = np.eye(k)[targets]
    if kind == "all right":
        probabilities = right * 0.9 + 0.1 / k
    if kind == "all wrong":
        probabilities = np.roll(right, 1, axis=1) * 0.9 + 0.1 / k
    if kind == "never called":
        probabilities[:, 0] += 2.0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, targets


def ours(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, np.ndarray]:
    k = probabilities.shape[1]
    ones = np.ones((1, len(targets)))
    called = probabilities.argmax(axis=1)
    table = theirs.confusion_matrix(targets, called, labels=range(k))[None].astype(float)
    given = (probabilities, targets, ones)
    found = estimates.of_tables(table) | estimates.of_ranks(*given)
    found |= estimates.of_probabilities(*given, called=called)
    return {name: each[0] for name, each in found.items()}


def expected(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, object]:
    """By scikit-learn, NaN where it knows none."""
    k, called = probabilities.shape[1], probabilities.argmax(axis=1)
    there = np.unique(targets)
    of_class = {"labels": range(k), "average": None, "zero_division": 0}
    absent = ~np.isin(np.arange(k), there)
    by_class = {
        name: np.where(absent, np.nan, score(targets, called, **of_class))
        for name, score in (
            ("recall", theirs.recall_score),
            ("precision", theirs.precision_score),
            ("f1", theirs.f1_score),
        )
    }
    by_class["specificity"] = np.array(
        [
            theirs.recall_score(targets != c, called != c)
            if c in there and len(there) > 1
            else np.nan
            for c in range(k)
        ]
    )
    for name, score in (
        ("auroc_of", theirs.roc_auc_score),
        ("auprc_of", theirs.average_precision_score),
    ):
        by_class[name] = np.array(
            [
                score(targets == c, probabilities[:, c])
                if c in there and len(there) > 1
                else np.nan
                for c in range(k)
            ]
        )
    of_all = slice(1, 2) if k == 2 else slice(None)
    means = {
        "balanced_accuracy": np.nanmean(by_class["recall"]),
        "macro_precision": np.nanmean(by_class["precision"]),
        "macro_f1": np.nanmean(by_class["f1"]),
        "macro_specificity": np.nanmean(by_class["specificity"]),
        "auroc": np.nanmean(by_class["auroc_of"][of_all]),
        "auprc": np.nanmean(by_class["auprc_of"][of_all]),
    }
    return (
        by_class
        | means
        | {
            "accuracy": theirs.accuracy_score(targets, called),
            "log_loss": theirs.log_loss(targets, probabilities, labels=range(k)),
            "brier": theirs.brier_score_loss(
                targets if k > 2 else targets == 1,
                probabilities if k > 2 else probabilities[:, 1],
                **({"labels": list(range(k))} if k > 2 else {}),
            ),
        }
    )


def of_probabilities(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Of answers that call the most probable class."""
    called = probabilities.argmax(axis=1)
    return estimates.of_probabilities(probabilities, targets, weights, called=called)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("draws", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_every_figure_is_that_of_scikit_learn(kind: str, draws: int) -> None:
    for seed in range(draws):
        case = drawn(kind, seed)
        got = ours(*case)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is undefined
            wanted = expected(*case)
        for name, value in wanted.items():
            np.testing.assert_allclose(
                got[name].squeeze(), value, rtol=0, atol=1e-9, err_msg=f"{name}, seed {seed}"
            )


def test_weights_count_as_repetitions_do() -> None:
    """Of every figure: a sample of weight three is the sample three times."""
    probabilities, targets = drawn("tied", 3)
    times = np.random.default_rng(0).integers(1, 4, size=len(targets))
    repeated = np.repeat(np.arange(len(targets)), times)
    weights = times[None].astype(float)
    for figure in (estimates.of_ranks, of_probabilities):
        got = figure(probabilities, targets, weights)
        rows = np.ones((1, len(repeated)))
        wanted = figure(probabilities[repeated], targets[repeated], rows)
        for name, value in wanted.items():
            np.testing.assert_allclose(got[name], value, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(
        estimates.sensitivity(probabilities, targets, weights),
        estimates.sensitivity(
            probabilities[repeated], targets[repeated], np.ones((1, len(repeated)))
        ),
    )


def test_a_calibration_error_is_the_distance_of_confidence_and_share_right() -> None:
    """Ten answers at 0.8, of which six are right, and ten at 0.6, of which six are right."""
    sure = np.repeat([0.8, 0.6], 10)
    targets = np.tile([0] * 6 + [1] * 4, 2)
    found = of_probabilities(np.stack([sure, 1 - sure], axis=1), targets, np.ones((1, 20)))
    assert found["ece"][0, 0] == pytest.approx(0.1)
    assert found["classwise_ece"][0, 0] == pytest.approx(0.1)


def test_the_confidence_is_the_probability_of_what_is_called_also_where_another_is_likelier() -> (
    None
):
    """Ten answers call the second class at 0.2, and two of them are right."""
    probabilities, targets = np.tile([0.8, 0.2], (10, 1)), np.array([1] * 2 + [0] * 8)
    found = estimates.of_probabilities(
        probabilities, targets, np.ones((1, 10)), called=np.ones(10, np.int64)
    )
    assert found["ece"][0, 0] == pytest.approx(0.0)


def test_a_probability_on_a_border_belongs_to_the_bin_below_it() -> None:
    assert estimates.bins(np.array([0.0, 1 / 15, 0.0667, 1.0])).tolist() == [0, 0, 1, 14]
