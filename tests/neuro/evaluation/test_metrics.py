import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.metrics import f1_score, log_loss, recall_score, roc_auc_score, roc_curve

from neuro.errors import ConfigError
from neuro.evaluation import intervals, metrics
from neuro.sample import FEW_GROUPS, Metric


def simulated(
    n: int, k: int, *, skill: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k)) + skill * np.eye(k)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, targets, np.array([f"g{i // 3}" for i in range(n)])


def named(found: list[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in found}


def sensitivity(is_one: NDArray[np.bool_], probabilities: metrics.Floats) -> float:
    """The best of a class that leaves at least 80 % of the others alone."""
    false, true, _ = roc_curve(is_one, probabilities, drop_intermediate=False)
    return float(true[false <= 0.2 + 1e-12].max())


def test_four_samples_score_what_was_counted_by_hand() -> None:
    # Truth a a b b, called a b b b: accuracy 3/4, F1 of a 2/3, of b 4/5. Pairs (b above a):
    # .9>.1, .9>.6, .8>.1, .8>.6: all four.
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    found = named(metrics.score(probabilities, [0, 0, 1, 1], ["p", "q", "r", "s"], ("a", "b")))
    assert found["accuracy"].value == pytest.approx(0.75)
    assert found["macro_f1"].value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["auroc"].value == pytest.approx(1.0)
    assert found["recall_a"].value == pytest.approx(0.5)
    assert found["recall_b"].n == 2


@pytest.mark.parametrize("k", [2, 4])
def test_values_agree_with_scikit_learn(k: int) -> None:
    probabilities, targets, groups = simulated(200, k, skill=1.0, seed=k)
    probabilities = probabilities.round(1) + 1e-9  # many ties
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = named(metrics.score(probabilities, targets, groups, "abcd"[:k]))
    called = probabilities.argmax(axis=1)
    one_hot = np.eye(k)[targets]
    auroc = roc_auc_score(
        one_hot[:, 1:] if k == 2 else one_hot, probabilities[:, 1:] if k == 2 else probabilities
    )
    assert found["macro_f1"].value == pytest.approx(f1_score(targets, called, average="macro"))
    assert found["auroc"].value == pytest.approx(auroc)
    recalls = [found[f"recall_{c}"].value for c in "abcd"[:k]]
    assert recalls == pytest.approx(list(recall_score(targets, called, average=None)))
    sensitivities = [found[f"sensitivity80_{c}"].value for c in "abcd"[:k]]
    assert sensitivities == pytest.approx(
        [sensitivity(targets == c, probabilities[:, c]) for c in range(k)]
    )


def test_an_interval_is_the_jackknife_s_spread_on_the_logit_with_t_of_the_rarest_class() -> None:
    probabilities, targets, groups = simulated(90, 3, skill=1.0, seed=5)
    found = named(metrics.score(probabilities, targets, groups, "abc"))
    names = np.unique(groups)
    rarest = min(len(np.unique(groups[targets == c])) for c in range(3))
    for name, figure in (
        ("macro_f1", lambda y, p: f1_score(y, p.argmax(axis=1), average="macro")),
        ("auroc", lambda y, p: roc_auc_score(np.eye(3)[y], p)),
    ):
        without = np.array(
            [figure(targets[g], probabilities[g]) for g in (groups != n for n in names)]
        )
        error = np.sqrt((len(names) - 1) * without.var())
        value = figure(targets, probabilities)
        half = student.ppf(0.975, rarest - 1) * error / (value * (1 - value))
        wanted = expit(logit(value) + np.array([-half, half]))
        assert (found[name].low, found[name].high) == pytest.approx(tuple(wanted))


def test_a_loss_has_an_interval_on_its_logarithm() -> None:
    probabilities, targets, groups = simulated(90, 3, skill=1.0, seed=5)
    loss = named(metrics.score(probabilities, targets, groups, "abc"))["log_loss"]
    assert loss.high / loss.value == pytest.approx(loss.value / loss.low)
    assert loss.value == pytest.approx(log_loss(targets, probabilities))


def test_a_sensitivity_s_interval_is_that_of_a_bootstrap() -> None:
    """The jackknife is no measure of a quantile."""
    probabilities, targets, groups = simulated(60, 3, skill=1.0, seed=5)
    found = named(metrics.score(probabilities, targets, groups, "abc"))["sensitivity80_b"]
    names, rng = np.unique(groups), np.random.default_rng(0)
    draws = []
    for drawn in rng.integers(len(names), size=(metrics.RESAMPLES, len(names))):
        rows = np.concatenate([np.flatnonzero(groups == names[number]) for number in drawn])
        draws.append(sensitivity(targets[rows] == 1, probabilities[rows, 1]))
    n_groups = len(np.unique(groups[targets == 1]))
    value = found.value
    half = student.ppf(0.975, n_groups - 1) * np.std(draws) / (value * (1 - value))
    wanted = expit(logit(value) + np.array([-half, half]))
    assert (found.low, found.high) == pytest.approx(tuple(wanted))


def test_the_interval_of_independent_samples_has_the_binomial_width() -> None:
    right = np.arange(400) < 300  # accuracy 0.75: 1.96 * sqrt(.75 * .25 / 400) = 0.0424
    probabilities = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
    groups = [str(i) for i in range(400)]
    accuracy = metrics.score(probabilities, np.zeros(400, int), groups, "ab")[0]
    assert accuracy.low == pytest.approx(0.75 - 0.0424, abs=0.006)
    assert accuracy.high == pytest.approx(0.75 + 0.0424, abs=0.006)


def test_groups_widen_the_interval_by_the_root_of_their_size() -> None:
    right = np.arange(400) < 300
    probabilities = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
    clusters = [str(i // 4) for i in range(400)]  # each group all right or all wrong
    accuracy = metrics.score(probabilities, np.zeros(400, int), clusters, "ab")[0]
    assert (accuracy.n, accuracy.groups) == (400, 100)
    assert accuracy.high - accuracy.low == pytest.approx(4 * 0.0424, abs=0.02)


def test_a_faultless_set_of_ten_groups_is_not_called_certain() -> None:
    probabilities = np.eye(2)[[0, 1] * 5]
    found = metrics.score(probabilities, [0, 1] * 5, [str(i) for i in range(10)], "ab")[0]
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.6915, abs=1e-4)  # Clopper-Pearson table, 10 of 10


def test_a_class_without_samples_is_left_out_and_nothing_is_nan() -> None:
    probabilities, targets, groups = simulated(60, 2, skill=1.0, seed=1)
    padded = np.column_stack([probabilities, np.zeros(60)])
    found = named(metrics.score(padded, targets, groups, "abc"))
    of_class = {f"{name}_{c}" for name in metrics.OF_A_CLASS for c in "ab"}
    assert set(found) == set(metrics.OVERALL) | of_class
    recalls = [found["recall_a"].value, found["recall_b"].value]
    assert found["balanced_accuracy"].value == pytest.approx(np.mean(recalls))
    assert all(np.isfinite([m.value, m.low, m.high]).all() for m in found.values())
    expected = f1_score(targets, probabilities.argmax(axis=1), average="macro")
    assert found["macro_f1"].value == pytest.approx(expected)


def test_a_set_of_one_class_has_no_auroc() -> None:
    found = named(metrics.score(np.array([[0.9, 0.1]] * 3), [0, 0, 0], list("pqr"), "ab"))
    assert set(found) == {"accuracy", "recall_a", *metrics.LOSSES}  # nothing is told apart
    assert found["accuracy"].classes == "1 of 2 classes, none of b"


def test_figures_of_all_classes_say_which_are_not_there() -> None:
    answers = np.eye(4)[[0, 0, 2, 2]]
    found = named(metrics.score(answers, [0, 0, 2, 2], list("pqrs"), ["a", "b", "c", "d'"]))
    over = "2 of 4 classes, none of b, d'"
    assert {m.name: m.classes for m in found.values() if m.classes} == dict.fromkeys(
        metrics.OVERALL, over
    )
    assert f"1.000 over {over}" in str(found["macro_f1"])
    whole = named(metrics.score(answers, [0, 0, 2, 2], list("pqrs"), "abcd"))["recall_a"]
    assert whole.classes == ""


def test_a_network_that_names_one_class_is_not_faultless_where_there_is_no_other() -> None:
    ones = np.zeros(6, np.int64)
    assert metrics.brief(ones, ones, 2) == (1.0, 0.5)
    assert metrics.brief(np.array([0, 1]), np.array([0, 1]), 3) == (1.0, 1.0)


def test_a_paired_difference_is_narrower_than_two_separate_intervals() -> None:
    ours, targets, groups = simulated(600, 3, skill=1.0, seed=2)
    theirs = ours.copy()
    theirs[:12] = np.roll(np.eye(3)[targets[:12]], 1, axis=1)  # twelve wrong calls
    found = metrics.difference(
        "accuracy", (ours.argmax(axis=1), theirs.argmax(axis=1)), targets, groups, "abc"
    )
    lost = (ours[:12].argmax(axis=1) == targets[:12]).sum() / 600
    alone = metrics.score(ours, targets, groups, "abc")[0]
    assert found.value == pytest.approx(lost)
    assert found.high - found.low < (alone.high - alone.low) / 2


def test_a_better_challenger_has_a_positive_lower_bound() -> None:
    ours, targets, groups = simulated(300, 3, skill=3.0, seed=3)
    theirs, _, _ = simulated(300, 3, skill=0.0, seed=4)
    called = ours.argmax(axis=1), theirs.argmax(axis=1)
    assert metrics.difference("macro_f1", called, targets, groups, "abc").low > 0.3


def test_less_error_asks_for_a_wider_interval() -> None:
    """As wide as Student's t of the groups has it: 199 degrees, 2.90 for 0.2 %, 1.97 for 2.5 %."""
    ours, targets, _ = simulated(200, 2, skill=1.0, seed=3)
    theirs, _, _ = simulated(200, 2, skill=1.0, seed=4)
    called = ours.argmax(axis=1), theirs.argmax(axis=1)
    groups = [f"g{i}" for i in range(200)]
    paired = metrics.paired_difference("accuracy", called, targets, groups, "ab")
    usual, strict = paired.metric(), paired.metric(0.0021)
    assert usual == metrics.difference("accuracy", called, targets, groups, "ab")
    assert (usual.high - usual.value) / paired.spread == pytest.approx(1.972, abs=1e-3)
    assert (strict.high - strict.value) / paired.spread == pytest.approx(2.896, abs=2e-3)


def test_a_loss_is_compared_without_the_same_groups_each_time() -> None:
    """The jackknife, written out: leave a group of both out, and score what is left."""
    ours, targets, groups = simulated(60, 3, skill=2.0, seed=3)
    theirs, _, _ = simulated(60, 3, skill=1.0, seed=4)
    names = np.asarray(groups)

    def gained(rows: NDArray[np.bool_]) -> float:
        kept = targets[rows], names[rows], "abc", ("classwise_ece",)
        first, second = (metrics.score(each[rows], *kept)[0].value for each in (ours, theirs))
        return second - first

    without = np.array([gained(names != name) for name in np.unique(names)])
    n = len(without)
    spread = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    found = metrics.loss_difference("classwise_ece", (ours, theirs), targets, groups)
    assert found.value == pytest.approx(gained(np.ones(60, dtype=bool)))
    assert found.high - found.value == pytest.approx(student.ppf(0.975, n - 1) * spread)


def test_a_difference_of_few_groups_or_lacking_a_class_says_so() -> None:
    answers, targets, _ = simulated(30, 2, skill=1.0, seed=3)
    called = answers.argmax(axis=1)
    groups = [f"g{i % 3}" for i in range(30)]
    found = metrics.difference("accuracy", (called, called), targets, groups, "ab")
    assert found.mark == FEW_GROUPS
    whole = [f"g{i}" for i in range(30)]
    of_one = metrics.difference("accuracy", (called, called), np.zeros(30, int), whole, "ab")
    assert (of_one.mark, of_one.classes) == ("", "1 of 2 classes, none of b")


def test_a_precision_stands_on_the_groups_that_are_called_so() -> None:
    """Of class b 50, of which one is called so; class c is never called."""
    targets = np.array([0] * 50 + [1] * 50 + [2] * 50)
    called = np.array([0] * 50 + [1] + [0] * 99)
    found = named(metrics.score(np.eye(3)[called], targets, [f"g{i}" for i in range(150)], "abc"))
    assert (found["precision_b"].value, found["precision_b"].mark) == (1.0, FEW_GROUPS)
    assert "precision_c" not in found
    assert found["recall_c"].mark == ""


def test_the_same_seed_gives_the_same_interval() -> None:
    case = simulated(90, 3, skill=1.0, seed=6)
    assert metrics.score(*case, "abc") == metrics.score(*case, "abc")


def test_chunks_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    case = simulated(90, 3, skill=1.0, seed=6)
    whole = metrics.score(*case, "abc")
    monkeypatch.setattr(metrics, "CHUNK_CELLS", 90 * 7)
    for metric, other in zip(metrics.score(*case, "abc"), whole, strict=True):
        assert (metric.low, metric.high) == pytest.approx((other.low, other.high), rel=1e-9)


def test_confusion_counts_rows_of_truth() -> None:
    found = metrics.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("probabilities", "targets", "groups", "says"),
    [
        (np.zeros((0, 2)), [], [], "no samples"),
        (np.zeros((2, 2)), [0], ["a"], "one row per sample"),
        (np.full((1, 2), np.nan), [0], ["a"], "NaN"),
        (np.zeros((1, 2)), [-1], ["a"], "labelled samples only"),
        (np.zeros((1, 3)), [0], ["a"], "3 columns"),
    ],
)
def test_unusable_input_is_refused_by_name(
    probabilities: np.ndarray, targets: list[int], groups: list[str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        metrics.score(probabilities, targets, groups, "ab")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(2, 4), st.integers(0, 10_000))
def test_every_interval_is_ordered_finite_and_inside_its_range(n: int, k: int, seed: int) -> None:
    for metric in metrics.score(*simulated(n, k, skill=1.0, seed=seed), "abcd"[:k]):
        assert 0 <= metric.low <= metric.value <= metric.high
        assert np.isfinite(metric.high)
        most = {"log_loss": np.inf, "brier": 2 if k > 2 else 1}
        assert metric.high <= most.get(metric.name, 1)


def test_under_ten_groups_of_the_rarest_class_a_figure_has_a_count_and_no_interval() -> None:
    probabilities, targets, groups = simulated(120, 2, skill=1.0, seed=8)
    targets[:] = 0
    targets[:15:3] = 1  # in five groups of forty
    found = named(metrics.score(probabilities, targets, groups, "ab"))
    few = len(np.unique(groups[targets == 1]))
    assert few < metrics.FEWEST_GROUPS < len(np.unique(groups))
    marked = {name for name, metric in found.items() if metric.mark == FEW_GROUPS}
    assert {"macro_f1", "auroc", "recall_b"} <= marked
    assert {"accuracy", "recall_a", "log_loss"}.isdisjoint(marked)
    recall = found["recall_b"]
    assert str(recall) == f"{recall.value:.3f} (n {recall.n}, {FEW_GROUPS})"


@pytest.mark.parametrize(("skill", "is_narrow"), [(6.0, True), (1.0, False)])
def test_an_area_near_one_of_few_groups_says_that_its_interval_may_be_too_narrow(
    skill: float, is_narrow: bool
) -> None:
    case = simulated(90, 2, skill=skill, seed=9)
    area = named(metrics.score(*case, "ab"))["auroc"]
    assert (area.mark == metrics.NARROW) is is_narrow
    assert str(area).endswith(f"({metrics.NARROW})") is is_narrow


@pytest.mark.parametrize(("n_rare", "is_narrow"), [(20, True), (60, False)])
def test_an_area_of_a_class_that_is_rare_among_many_says_so_too(
    n_rare: int, is_narrow: bool
) -> None:
    rng = np.random.default_rng(0)
    targets = (np.arange(400) < n_rare).astype(np.int64)
    score = 1 / (1 + np.exp(-(rng.normal(size=400) + targets)))
    answers = np.stack([1 - score, score], axis=1)
    area = named(metrics.score(answers, targets, [f"g{i}" for i in range(400)], "ab", ("auroc",)))
    assert area["auroc"].value < metrics.NARROW_FROM
    assert (area["auroc"].mark == metrics.NARROW) is is_narrow


def test_more_groups_than_blocks_are_left_out_several_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = simulated(3000, 2, skill=1.0, seed=7)
    each = named(metrics.score(*case, "ab"))["accuracy"]
    monkeypatch.setattr(intervals, "BLOCKS", 100)
    dealt = named(metrics.score(*case, "ab"))["accuracy"]
    width = each.high - each.low
    assert dealt.high - dealt.low == pytest.approx(width, rel=0.2)
    assert dealt.high - dealt.low != width
