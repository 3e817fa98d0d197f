import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.stats import ks_2samp

from monitoring import history, intake, permutation, verdicts
from monitoring.harm import Evidence, Measured
from monitoring.history import Usual
from monitoring.intake import Intake
from monitoring.signals import Drop, Signal
from monitoring.verdicts import Verdict
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.promotion.drift_policy import N_SIGNALS, DriftPolicy
from neuro.promotion.verdict_log import Outcome


def period(
    rng: np.random.Generator, *, n_groups: int, moved: float = 0.0, unsure: float = 0.0
) -> Observed:
    """Groups of one to five alike images; ``moved`` shifts a descriptor, ``unsure`` the model."""
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
    figures = rng.normal(size=(n_groups, 4))[groups] + 0.3 * rng.normal(size=(len(groups), 4))
    figures[:, 0] += moved
    logit = 2.5 - unsure + rng.normal(size=n_groups)[groups] + 0.3 * rng.normal(size=len(groups))
    share = 1 / (1 + np.exp(-logit))
    return Observed(
        groups=groups.astype(str),
        descriptors=figures,
        features=np.column_stack((logit, figures[:, 1])),
        probabilities=np.column_stack((share, 1 - share)),
        confidence=np.maximum(share, 1 - share),
        correct=(logit > 0).astype(np.float64),
    )


def label_groups(observed: Observed, n_groups: int) -> Observed:
    known = observed.groups.astype(int) < n_groups
    return replace(observed, correct=np.where(known, observed.correct, np.nan))


def judged(
    reference: Observed, current: Observed, *, alpha: float = 0.02, trials: int = 1000
) -> Verdict:
    config = DriftPolicy(alpha=alpha, trials=trials)
    return verdicts.judge(reference, current, window="w", reference_name="r", policy=config)


def of_name(verdict: Verdict, name: str) -> Signal:
    (found,) = [each for each in verdict.signals if each.name == name]
    return found


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_window_like_the_reference_is_steady(rng: np.random.Generator) -> None:
    verdict = judged(period(rng, n_groups=100), label_groups(period(rng, n_groups=80), 0))
    assert verdict.verdict == "steady"
    assert [signal.name for signal in verdict.signals] == [
        *("descriptors", "formats", "features", "softmax", "classes", "confidence")
    ]


def test_other_images_but_equal_answers_are_looked_at(rng: np.random.Generator) -> None:
    current = label_groups(period(rng, n_groups=80, moved=2), 0)
    verdict = judged(period(rng, n_groups=100), current)
    assert verdict.verdict == "look"
    assert "model's answers did not" in verdict.reason


def test_unsure_answers_without_labels_ask_for_labels(rng: np.random.Generator) -> None:
    current = label_groups(period(rng, n_groups=80, moved=2, unsure=2), 10)
    verdict = judged(period(rng, n_groups=100), current)
    assert verdict.verdict == "label"
    assert "Only 10 groups are labelled; 30 are needed" in verdict.reason


def test_a_drop_measured_on_enough_labelled_groups_asks_to_retrain(
    rng: np.random.Generator,
) -> None:
    current = label_groups(period(rng, n_groups=80, unsure=2), 40)
    verdict = judged(period(rng, n_groups=100), current)
    assert verdict.verdict == "retrain"
    assert "40 groups" in verdict.reason


def test_wrong_answers_ask_to_retrain_though_nothing_else_moved(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=100), period(rng, n_groups=80)
    verdict = judged(reference, replace(current, correct=1 - current.correct))
    assert verdict.verdict == "retrain"


def test_unsure_but_right_answers_are_looked_at(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=100), period(rng, n_groups=80, unsure=2)
    verdict = judged(reference, replace(current, correct=np.ones(current.n)))
    assert verdict.verdict == "look"
    assert "80 labelled groups show none" in verdict.reason


def usual_of(reference: Observed, moved: float, rng: np.random.Generator) -> Usual:
    """Of ten harmless windows that were so far."""
    weeks = [judged(reference, period(rng, n_groups=80, moved=moved)) for _ in range(10)]
    stored = [[asdict(signal) for signal in each.signals] for each in weeks]
    return history.usual([history.distances(each) for each in stored], DriftPolicy().chance)


def after(usual: Usual, reference: Observed, current: Observed) -> Verdict:
    policy = DriftPolicy()
    named = {"window": "w", "reference_name": "r"}
    return verdicts.judge(reference, current, policy=policy, usual=usual, **named)


def test_a_window_as_far_as_harmless_ones_before_is_steady_and_says_so(
    rng: np.random.Generator,
) -> None:
    reference = period(rng, n_groups=100)
    usual = usual_of(reference, 1.0, rng)
    verdict = after(usual, reference, label_groups(period(rng, n_groups=80, moved=1.0), 0))
    assert verdict.verdict == "steady"
    assert of_name(verdict, "descriptors").is_usual
    assert "within what 10 harmless windows before lead to expect: descriptors" in verdict.reason


def test_a_window_farther_than_harmless_ones_before_alarms(rng: np.random.Generator) -> None:
    reference = period(rng, n_groups=100)
    usual = usual_of(reference, 1.0, rng)
    verdict = after(usual, reference, label_groups(period(rng, n_groups=80, moved=3.0), 0))
    assert verdict.verdict == "look"
    assert of_name(verdict, "descriptors").alarm


def test_near_windows_before_do_not_make_a_threshold_nearer(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=100), period(rng, n_groups=80)
    near = Usual(windows=8, limits={"descriptors": 0.1})
    found = of_name(after(near, reference, current), "descriptors")
    assert found.threshold == found.dealt


def test_harm_that_labels_show_is_harm_however_usual_the_images_are(
    rng: np.random.Generator,
) -> None:
    reference, current = period(rng, n_groups=100), period(rng, n_groups=80)
    every = dict.fromkeys(("descriptors", "features", "labelled_accuracy"), 100.0)
    usual = Usual(windows=8, limits=every)
    verdict = after(usual, reference, replace(current, correct=1 - current.correct))
    assert verdict.verdict == "retrain"


def test_images_that_go_with_a_suspected_loss_are_not_usual() -> None:
    rng = np.random.default_rng(11)
    reference = with_accuracy(period(rng, n_groups=100), 9)
    current = label_groups(period(rng, n_groups=100, moved=2), 30)
    current = with_accuracy(current, 7)
    usual = Usual(windows=8, limits={"descriptors": 100.0, "features": 100.0})
    verdict = after(usual, reference, current)
    assert verdict.verdict == "label"
    assert of_name(verdict, "descriptors").alarm


def few_came(policy: DriftPolicy) -> Signal:
    usual = [Intake(days=7.0, images=200, refused=0)] * 8
    signal = intake.signal(Intake(days=7.0, images=80, refused=0), usual, policy)
    assert signal is not None
    return signal


def test_other_counts_alone_are_looked_at_and_start_nothing(rng: np.random.Generator) -> None:
    policy = DriftPolicy(retrain_on="drift")
    few = few_came(policy)
    reference, current = period(rng, n_groups=100), period(rng, n_groups=80)
    named = {"window": "w", "reference_name": "r"}
    current = label_groups(current, 0)
    verdict = verdicts.judge(reference, current, policy=policy, intake=few, **named)
    assert verdict.verdict == "look"
    assert "Other counts than usual: 11.4 images a day" in verdict.reason
    assert not any(signal.has_moved for signal in verdict.signals)
    few_groups = verdicts.judge(
        reference, label_groups(period(rng, n_groups=20), 0), policy=policy, intake=few, **named
    )
    assert few_groups.verdict == "look"
    assert "Fewer than 30 groups on one side: nothing else is judged" in few_groups.reason
    heard = verdicts.with_history(verdict, ["look", "look"], 1000, policy)
    assert heard.verdict == "look"


def test_other_counts_do_not_hide_other_answers(rng: np.random.Generator) -> None:
    policy = DriftPolicy()
    current = label_groups(period(rng, n_groups=80, unsure=2), 0)
    named = {"window": "w", "reference_name": "r"}
    reference, few = period(rng, n_groups=100), few_came(policy)
    verdict = verdicts.judge(reference, current, policy=policy, intake=few, **named)
    assert verdict.verdict == "label"


def with_accuracy(observed: Observed, right: int) -> Observed:
    """Of each ten groups so many are answered right."""
    is_right = observed.groups.astype(int) % 10 < right
    return replace(observed, correct=np.where(np.isnan(observed.correct), np.nan, is_right))


@pytest.mark.parametrize(("n_labelled", "right"), [(30, 7), (60, 8), (100, 8)])
@pytest.mark.parametrize("unsure", [0.0, 2.0])
def test_labels_that_do_not_exclude_a_harm_ask_for_more_and_never_say_none(
    n_labelled: int, right: int, unsure: float
) -> None:
    rng = np.random.default_rng(11)
    reference = with_accuracy(period(rng, n_groups=100), 9)
    current = label_groups(period(rng, n_groups=100, moved=2, unsure=unsure), n_labelled)
    verdict = judged(reference, with_accuracy(current, right))
    drop = verdict.signals[-1]
    assert drop.statistic > 0.05
    assert not drop.alarm
    assert verdict.verdict == "label"
    assert "show none" not in verdict.reason
    assert f"{n_labelled} labelled groups do not exclude" in verdict.reason
    assert re.search(r"the drop is -?\d+\.\d to \d+\.\d points; label more", verdict.reason)


def test_thirty_groups_without_an_error_do_not_exclude_a_harm() -> None:
    """Redrawn they are right each time; of 30 of 30 up to 11.6 % may still be wrong."""
    rng = np.random.default_rng(11)
    reference = with_accuracy(period(rng, n_groups=100), 10)
    current = label_groups(period(rng, n_groups=100, moved=2), 30)
    verdict = judged(reference, with_accuracy(current, 10))
    assert verdict.verdict in ("look", "label")
    assert "show none" not in verdict.reason
    assert "-3.6 to 11.6 points" in verdict.reason


def test_a_window_without_an_alarm_says_what_its_labels_do_not_exclude() -> None:
    rng = np.random.default_rng(11)
    reference = with_accuracy(period(rng, n_groups=100), 9)
    same = replace(reference, correct=np.where(rng.random(reference.n) < 0.8, 1.0, 0.0))
    same = label_groups(same, 30)
    verdict = judged(reference, same)
    assert verdict.verdict == "steady"
    assert "30 labelled groups do not exclude a loss of accuracy that matters" in verdict.reason


@pytest.mark.parametrize(
    ("high", "verdict"), [(0.0499, "look"), (0.05, "label"), (0.29, "label"), (-0.01, "look")]
)
def test_none_is_said_only_where_the_upper_end_is_below_what_matters(
    high: float, verdict: str
) -> None:
    alarm = Signal(
        name="softmax",
        statistic=1,
        threshold=0,
        false_alarm_rate=0,
        alarm=True,
        explanation="answers moved",
    )
    drop = Drop(value=high - 0.01, low=high - 0.02, high=high)
    outcome, advice = verdicts._decide((alarm,), 40, drop, DriftPolicy())
    assert outcome == verdict
    assert ("show none" in advice) is (verdict == "look")
    assert f"{100 * high:.1f} points" in advice


@pytest.mark.parametrize("harm", [0.0, 1.0, float("nan")])
def test_what_matters_lies_between_nothing_and_all(harm: float) -> None:
    with pytest.raises(ConfigError, match="harm must be between 0 and 1"):
        DriftPolicy(harm=harm)


@pytest.mark.parametrize(("n_reference", "n_current"), [(29, 80), (100, 29)])
def test_fewer_than_thirty_groups_on_a_side_are_inconclusive(
    rng: np.random.Generator, n_reference: int, n_current: int
) -> None:
    current = period(rng, n_groups=n_current, moved=5, unsure=5)
    verdict = judged(period(rng, n_groups=n_reference), current)
    assert (verdict.verdict, verdict.signals) == ("inconclusive", ())


def test_labelled_accuracy_is_the_difference_of_the_two_accuracies(
    rng: np.random.Generator,
) -> None:
    reference, current = period(rng, n_groups=60), period(rng, n_groups=60, unsure=1)
    signal = judged(reference, current).signals[-1]
    assert signal.statistic == pytest.approx(reference.correct.mean() - current.correct.mean())


def test_confidence_loss_uses_the_cut_that_leaves_the_references_accuracy(
    rng: np.random.Generator,
) -> None:
    reference, current = period(rng, n_groups=60), period(rng, n_groups=60, unsure=1)
    wrong = int((reference.correct == 0).sum())
    cut = np.sort(reference.probabilities.max(axis=1))[wrong]
    lost = reference.correct.mean() - (current.probabilities.max(axis=1) >= cut).mean()
    assert of_name(judged(reference, current), "confidence").statistic == pytest.approx(lost)


def test_the_gap_equals_scipys_statistic_also_with_ties(rng: np.random.Generator) -> None:
    before, now = rng.integers(5, size=(40, 2)), rng.integers(1, 7, size=(60, 2))
    gaps = permutation.largest_gap(
        np.concatenate((before, now)).astype(float), permutation.sides(40, 60)
    )
    expected = [ks_2samp(before[:, i], now[:, i]).statistic for i in range(2)]
    assert gaps[0] == pytest.approx(expected)


def test_a_deal_keeps_the_sizes_of_both_sides_and_moves_groups_whole() -> None:
    reference, window = np.repeat(["a", "b", "c"], 2), np.repeat(["d", "e"], 2)
    rng = np.random.default_rng(0)
    pair = next(permutation.deal(reference, window, trials=50, rng=rng))
    assert set(pair.reference.sum(axis=1)) == {6}
    assert set(pair.window.sum(axis=1)) == {4}
    assert (pair.reference + pair.window == 1).all()
    assert (pair.window[:, ::2] == pair.window[:, 1::2]).all()
    assert len(np.unique(pair.window, axis=0)) > 5


def test_alike_images_of_few_groups_alarm_no_more_often_than_promised(
    rng: np.random.Generator,
) -> None:
    # At a budget of 0.2, 60 windows without a shift alarm 12 times or fewer on average; more than
    # 20 would happen by chance once in 200. Treating images as independent alarms on most of them.
    alarms, naive = 0, 0
    for _ in range(60):
        reference, current = period(rng, n_groups=40), period(rng, n_groups=50)
        alarms += judged(reference, current, alpha=0.2, trials=200).verdict != "steady"
        p_values = [
            ks_2samp(reference.descriptors[:, i], current.descriptors[:, i]).pvalue
            for i in range(4)
        ]
        naive += int(min(p_values) < 0.2 / 4)
    assert alarms <= 20
    assert naive >= 30


def test_false_alarm_rates_are_near_their_share_of_the_budget(rng: np.random.Generator) -> None:
    verdict = judged(period(rng, n_groups=60), period(rng, n_groups=60), alpha=0.2, trials=2000)
    for name in ("descriptors", "features"):
        rate = of_name(verdict, name).false_alarm_rate
        assert rate == pytest.approx(0.2 / N_SIGNALS, abs=0.02)
    # Shares of a few images take few values: their rate may be lower, never higher.
    assert max(signal.false_alarm_rate for signal in verdict.signals) <= 0.06


def test_the_same_samples_give_the_same_verdict(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=40), period(rng, n_groups=40)
    assert judged(reference, current) == judged(reference, current)


def test_a_verdict_is_plain_json(rng: np.random.Generator) -> None:
    verdict = judged(period(rng, n_groups=40), period(rng, n_groups=40))
    facts = json.loads(json.dumps(asdict(verdict)))
    assert facts["verdict"] == verdict.verdict
    assert set(facts["signals"][0]) >= {"name", "statistic", "threshold", "false_alarm_rate"}


def test_too_few_trials_for_the_budget_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 1200 for alpha 0\.01"):
        DriftPolicy(alpha=0.01, trials=1199)


def audited(wealth: float) -> Evidence:
    return Evidence(wealth=wealth, n=120, windows=3, allowed=0.08, recent=0.2)


def test_harm_that_audits_have_shown_asks_to_retrain_however_small_the_window(
    rng: np.random.Generator,
) -> None:
    small = judged(period(rng, n_groups=100), label_groups(period(rng, n_groups=25), 0))
    config = DriftPolicy()
    assert verdicts.with_audits(small, audited(99.0), config, 0.1).verdict == "inconclusive"
    found = verdicts.with_audits(small, audited(100.0), config, 0.1)
    assert found.verdict == "retrain"
    assert "120 labels of the audit samples of 3 windows" in found.reason
    assert [(signal.name, signal.alarm) for signal in found.signals] == [("audited_accuracy", True)]


def test_audits_that_show_no_harm_leave_a_steady_window_steady(rng: np.random.Generator) -> None:
    steady = judged(period(rng, n_groups=100), label_groups(period(rng, n_groups=80), 0))
    found = verdicts.with_audits(steady, audited(2.0), DriftPolicy(), 0.1)
    assert (found.verdict, found.reason) == ("steady", steady.reason)
    assert (found.signals[:-1], found.signals[-1].alarm) == (steady.signals, False)


@pytest.mark.parametrize("wrong", [{"audit": -1}, {"harm_alpha": 0.0}, {"harm_alpha": 1.0}])
def test_a_policy_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be"):
        DriftPolicy(**wrong)


MOVED = Signal(
    name="descriptors",
    statistic=0.3,
    threshold=0.2,
    false_alarm_rate=0.01,
    alarm=True,
    explanation="moved",
    dealt=0.2,
)


def suspected(outcome: Outcome = "label") -> Verdict:
    return Verdict(window="w", reference="r", signals=(MOVED,), verdict=outcome, reason="Moved.")


@pytest.mark.parametrize(
    ("retrain_on", "found", "before", "new_groups", "outcome"),
    [
        ("labels", "label", ["label"], 100, "retrain"),
        ("labels", "label", ["label"], 99, "label"),  # too little that is new to learn from
        ("labels", "label", ["retrain"], 100, "retrain"),  # what was found before was worse
        ("labels", "label", ["look", "label"], 100, "label"),  # not in a row
        ("labels", "label", ["inconclusive", "label"], 100, "label"),
        ("labels", "look", ["look"], 100, "look"),  # nothing is in danger
        ("labels", "steady", ["label"], 100, "steady"),
        ("drift", "look", ["look"], 0, "retrain"),
        ("drift", "look", [], 0, "look"),
        ("drift", "steady", ["look"], 0, "steady"),
        ("harm", "label", ["label", "label"], 100, "label"),
    ],
)
def test_what_stays_is_confirmed(
    retrain_on: str, found: Outcome, before: list[str], new_groups: int, outcome: str
) -> None:
    policy = DriftPolicy(retrain_on=retrain_on)
    heard = verdicts.with_history(suspected(found), before, new_groups, policy)
    assert heard.verdict == outcome


def test_what_a_policy_costs_stands_beside_what_it_started() -> None:
    policy = DriftPolicy(retrain_on="drift", confirm=3)
    heard = verdicts.with_history(suspected("look"), ["look", "label"], 0, policy)
    assert "The same in 3 windows in a row" in heard.reason
    assert policy.cost in heard.reason
    assert "8e-06 of windows" in policy.cost


def test_what_the_model_makes_of_images_asks_for_labels_though_its_answers_are_the_same(
    rng: np.random.Generator,
) -> None:
    reference, current = period(rng, n_groups=100), label_groups(period(rng, n_groups=80), 0)
    moved = replace(current, features=current.features + np.array([0.0, 2.0]))
    verdict = judged(reference, moved)
    assert [signal.name for signal in verdict.signals if signal.alarm] == ["features"]
    assert verdict.verdict == "label"


def test_a_class_that_is_called_more_often_is_named(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=200), label_groups(period(rng, n_groups=200), 0)
    turned = replace(current, probabilities=current.probabilities[:, ::-1].copy())
    signal = of_name(judged(reference, turned), "classes")
    assert signal.alarm
    assert "class number" in signal.explanation
    assert not of_name(judged(reference, current), "classes").alarm


def test_an_estimated_loss_is_for_reading_and_alarms_nobody(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=100), label_groups(period(rng, n_groups=80), 0)
    unsure = judged(reference, replace(current, confidence=np.full(current.n, 0.5)))
    signal = of_name(unsure, "confidence")
    assert not signal.alarm
    assert signal.statistic > signal.threshold
    assert unsure.verdict == "steady"


def test_a_feature_that_never_varies_says_nothing(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=60), period(rng, n_groups=60)
    still = [replace(each, features=np.ones((each.n, 3))) for each in (reference, current)]
    assert of_name(judged(*still), "features").statistic == 0


def of_formats(
    observed: Observed, names: list[str], rng: np.random.Generator, first: float = 0.5
) -> Observed:
    """Each group comes in one of two formats, the first with this chance."""
    _, codes = np.unique(observed.groups, return_inverse=True)
    is_first = rng.uniform(size=codes.max() + 1) < first
    return replace(observed, formats=np.where(is_first[codes], *names))


def test_images_of_another_size_are_looked_at_and_the_size_is_named(
    rng: np.random.Generator,
) -> None:
    usual, other = ["512x512 L", "256x256 L"], ["512x512 L", "640x480 RGB"]
    reference = of_formats(period(rng, n_groups=100), usual, rng)
    current = of_formats(label_groups(period(rng, n_groups=80), 0), other, rng)
    verdict = judged(reference, current)
    assert verdict.verdict == "look"
    assert [each.name for each in verdict.signals if each.alarm] == ["formats"]
    said = of_name(verdict, "formats").explanation
    assert re.match(r"640x480 RGB, as it came, is [45]\d\.\d% of the images, in the .* 0.0%", said)


def test_a_mix_of_formats_as_before_is_no_news_however_few_groups_bring_it(
    rng: np.random.Generator,
) -> None:
    both = ["512x512 L", "256x256 L"]
    alarms = 0
    for _ in range(40):
        reference = of_formats(period(rng, n_groups=100), both, rng)
        current = of_formats(label_groups(period(rng, n_groups=40), 0), both, rng)
        alarms += of_name(judged(reference, current, trials=600), "formats").alarm
    assert alarms <= 2  # at 0.3 % each


def test_a_format_that_nobody_noted_counts_as_usual(rng: np.random.Generator) -> None:
    reference = of_formats(period(rng, n_groups=100), ["512x512 L", "256x256 L"], rng)
    current = label_groups(period(rng, n_groups=80), 0)
    assert (current.formats == "").all()
    assert of_name(judged(reference, current), "formats").statistic == pytest.approx(0, abs=1e-9)


def test_many_formats_are_named_as_far_as_they_are_common(rng: np.random.Generator) -> None:
    reference, current = period(rng, n_groups=100), period(rng, n_groups=80)
    rare = np.array([f"{number}x1 L" for number in range(current.n)])
    reference = replace(reference, formats=np.full(reference.n, "512x512 L"))
    verdict = judged(reference, label_groups(replace(current, formats=rare), 0))
    assert of_name(verdict, "formats").alarm
    assert of_name(verdict, "formats").explanation.startswith("512x512 L, as it came, is 0.0%")


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, "look"),
        ({"measured": None}, "label"),
        ({"measured": Measured(n=30, high=0.16)}, "label"),
        ({"wealth": 200.0}, "retrain"),
    ],
    ids=str,
)
def test_labels_of_a_window_that_had_changed_too_settle_the_doubt(
    rng: np.random.Generator, changed: dict[str, object], outcome: str
) -> None:
    current = label_groups(period(rng, n_groups=80, moved=2, unsure=2), 0)
    doubt = judged(period(rng, n_groups=100), current)
    assert doubt.verdict == "label"
    heard = verdicts.with_audits(doubt, evidence(**changed), DriftPolicy(), 0.1)
    assert heard.verdict == outcome
    if outcome == "look":
        said = "30 labels of the audit of one exclude a loss of accuracy that matters: 4.0 points"
        assert said in heard.reason


def test_labels_of_this_window_that_suspect_harm_are_not_talked_down(
    rng: np.random.Generator,
) -> None:
    """20 labelled groups are too few to measure a loss, and lose half of their accuracy."""
    reference = period(rng, n_groups=100)
    current = label_groups(period(rng, n_groups=80, moved=2), 20)
    wrong = np.where(np.isnan(current.correct), np.nan, 0.0)
    doubt = judged(reference, replace(current, correct=wrong))
    assert doubt.verdict == "label"
    assert of_name(doubt, "labelled_accuracy").alarm
    assert verdicts.with_audits(doubt, evidence(), DriftPolicy(), 0.1).verdict == "label"


def evidence(**changed: object) -> Evidence:
    """Of audits that have excluded a loss of 5 points where the reference errs in 10 of 100."""
    facts = {"wealth": 0.5, "n": 40, "windows": 1, "allowed": 0.1, "recent": 0.1}
    facts |= {"measured": Measured(n=30, high=0.14)}
    return Evidence(**(facts | changed))  # type: ignore[arg-type]
