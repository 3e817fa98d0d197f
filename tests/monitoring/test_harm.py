import numpy as np
import pytest
from scipy.stats import beta, binomtest

from monitoring import harm
from monitoring.harm import Audit
from monitoring.windows import Observed

ALLOWED = 0.08


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def weeks(
    rng: np.random.Generator, rate: float, n: int, *, is_flagged: bool = False
) -> list[Audit]:
    return [
        Audit(errors=(rng.random(40) < rate).astype(np.float64), is_flagged=is_flagged)
        for _ in range(n)
    ]


def wealth(audits: list[Audit]) -> float:
    return harm.evidence(audits, ALLOWED).wealth


def test_nobody_gets_rich_against_a_model_that_is_as_good_as_shown(
    rng: np.random.Generator,
) -> None:
    ends = []
    for _ in range(300):
        audits = weeks(rng, ALLOWED, 26)
        ends.append(max(wealth(audits[: week + 1]) for week in range(26)))
    assert np.mean(np.array(ends) >= 100) <= 0.01
    assert np.mean([wealth(weeks(rng, ALLOWED, 4)) for _ in range(2000)]) < 1.1


def test_harm_is_found_in_a_few_weeks(rng: np.random.Generator) -> None:
    assert np.median([wealth(weeks(rng, 0.18, 4)) for _ in range(50)]) > 100


def test_weights_count(rng: np.random.Generator) -> None:
    errors = (rng.random(200) < 0.14).astype(np.float64)
    heavy = harm.evidence([Audit(errors=2 * errors)], ALLOWED).wealth
    assert heavy > 100 * harm.evidence([Audit(errors=errors)], ALLOWED).wealth


def test_wealth_lost_in_good_weeks_delays_and_a_flag_begins_anew(rng: np.random.Generator) -> None:
    good = weeks(np.random.default_rng(1), 0.02, 30)
    bad = weeks(np.random.default_rng(2), 0.22, 5)
    flagged = [Audit(errors=each.errors, is_flagged=True) for each in bad]
    assert wealth(bad) > wealth(good + flagged) > 10 * wealth(good + bad) > 10


def test_labels_may_come_late_and_in_any_order(rng: np.random.Generator) -> None:
    whole = weeks(rng, 0.2, 3)
    late = [Audit(errors=np.empty(0)), *whole[1:]]
    said = harm.evidence(late, ALLOWED)
    assert (said.n, said.windows) == (80, 2)
    mixed = [Audit(errors=rng.permutation(each.errors)) for each in whole]
    assert wealth(mixed) == pytest.approx(wealth(whole))


def test_wealth_stays_a_number(rng: np.random.Generator) -> None:
    assert np.isfinite(wealth([Audit(errors=np.full(5000, 2.0))]))


def test_without_a_label_there_is_no_evidence() -> None:
    said = harm.evidence([Audit(errors=np.empty(0))], ALLOWED)
    assert (said.wealth, said.n, said.windows) == (1.0, 0, 0)
    assert np.isnan(said.recent)


def reference_of(sizes: list[int], errors: list[float]) -> Observed:
    """Groups of these sizes, each with a share of errors."""
    n = sum(sizes)
    wrong = [
        np.arange(size) < round(share * size) for size, share in zip(sizes, errors, strict=True)
    ]
    return Observed(
        groups=np.repeat(np.arange(len(sizes)), sizes).astype(str),
        descriptors=np.zeros((n, 1)),
        features=np.zeros((n, 1)),
        probabilities=np.ones((n, 1)),
        confidence=np.ones(n),
        correct=1.0 - np.concatenate(wrong),
    )


def test_the_allowed_rate_of_single_images_is_that_of_clopper_and_pearson() -> None:
    reference = reference_of([1] * 100, [1.0] * 5 + [0.0] * 95)
    # 99 in place of 100: the spread is that of a sample
    assert harm.allowed_error(reference) == pytest.approx(beta.ppf(0.90, 5.95, 94.05), abs=1e-3)


def test_images_that_err_in_whole_groups_tell_less() -> None:
    apart = reference_of([10] * 20, [0.1] * 20)
    together = reference_of([10] * 20, [1.0] * 2 + [0.0] * 18)
    assert harm.allowed_error(apart) < 0.15
    assert harm.allowed_error(together) == pytest.approx(beta.ppf(0.90, 2.9, 18 - 0.9), abs=0.02)


def test_a_reference_without_errors_is_worth_its_groups() -> None:
    reference = reference_of([10] * 20, [0.0] * 20)
    assert harm.allowed_error(reference) == pytest.approx(1 - 0.1 ** (1 / 20))


NONE, SOME = np.zeros(40), np.array([1.0] * 4 + [0.0] * 36)


def test_the_last_window_that_had_changed_is_measured_by_its_own_labels() -> None:
    found = harm.evidence([Audit(errors=SOME), Audit(errors=NONE, is_flagged=True)], 0.05, 30)
    assert found.measured is not None
    assert found.measured.n == 40
    assert found.measured.high == pytest.approx(1 - 0.05 ** (1 / 40))  # of Clopper and Pearson
    found = harm.evidence([Audit(errors=SOME, is_flagged=True)], 0.05, 30)
    assert found.measured is not None
    of_four = binomtest(4, 40).proportion_ci(0.9).high
    assert found.measured.high == pytest.approx(of_four, abs=0.003)


@pytest.mark.parametrize(
    "audits",
    [
        [Audit(errors=NONE)],
        [Audit(errors=NONE, is_flagged=True), Audit(errors=np.empty(0))],  # unlike it since
        [Audit(errors=NONE[:29], is_flagged=True)],
        [Audit(errors=NONE, is_flagged=True), *[Audit(errors=np.empty(0), is_flagged=True)] * 3],
    ],
    ids=["as ever", "as ever since", "few labels", "long ago"],
)
def test_nothing_is_measured_by_a_window_that_is(audits: list[Audit]) -> None:
    assert harm.evidence(audits, 0.05, 30).measured is None


def test_a_window_is_measured_until_its_own_labels_are_there() -> None:
    """This week's sample is drawn before its labels come, and some come sooner than others."""
    earlier = Audit(errors=NONE, is_flagged=True)
    for n in (0, 1, 29):
        now = Audit(errors=NONE[:n], is_flagged=True)
        found = harm.evidence([earlier, now], 0.05, 30).measured
        assert found is not None
        assert found.n == 40


def test_errors_that_weigh_much_leave_more_doubt() -> None:
    heavy = np.array([4.0] + [0.0] * 39)
    light, few = (
        harm.evidence([Audit(errors=each, is_flagged=True)], 0.05).measured
        for each in (SOME, heavy)
    )
    assert light is not None
    assert few is not None
    assert few.high > light.high + 0.05


def test_right_answers_of_unequal_weights_are_worth_fewer() -> None:
    weights = np.array([8.0] * 4 + [0.5] * 36)
    audit = Audit(errors=NONE, weights=weights, is_flagged=True)
    found = harm.evidence([audit], 0.05).measured
    assert found is not None
    n = weights.sum() ** 2 / (weights**2).sum()
    assert found.high == pytest.approx(1 - 0.05 ** (1 / n))
