from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import ConfigError
from neuro.uncertainty import calibration, out_of_scope


def simulated(
    n: int, *, seed: int, sharpness: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits whose softmax is exactly right, then multiplied by ``sharpness``."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (rng.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    embeddings = rng.normal(size=(n, 6)) * [9, 3, 1, 1, 1, 1] + 5
    return (sharpness * logits).astype(np.float32), embeddings.astype(np.float32), targets


def test_the_temperature_undoes_known_overconfidence() -> None:
    found = calibration.fit(*simulated(4000, seed=0, sharpness=3.0))
    assert found.temperature == pytest.approx(3.0, rel=0.06)


def test_the_true_class_is_in_the_set_of_nine_in_ten_new_samples() -> None:
    found = calibration.fit(*simulated(500, seed=1))
    logits, embeddings, targets = simulated(4000, seed=2)
    sets = calibration.apply(found, logits, embeddings).conformal_sets
    assert sets[np.arange(4000), targets].mean() == pytest.approx(0.9, abs=0.03)


def test_the_quantile_is_the_eighteenth_smallest_of_nineteen() -> None:
    # ceil(20 * 0.9) = 18; the interpolating quantile of numpy would lie elsewhere.
    logits, embeddings, targets = simulated(19, seed=3)
    shifted = np.exp(logits.astype(np.float64))
    misfit = 1 - (shifted / shifted.sum(axis=1, keepdims=True))[np.arange(19), targets]
    found = calibration.fit(logits, embeddings, targets)
    assert found.conformal_quantile == pytest.approx(sorted(misfit)[17], rel=1e-6)


def test_a_limit_for_each_class_holds_its_promise_in_a_class_that_is_hard() -> None:
    """Class 0 is seldom sure of itself: one limit for all misses it more often than one in ten."""
    rng = np.random.default_rng(0)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        targets = rng.integers(3, size=n)
        skill = np.where(targets == 0, 0.5, 4.0)[:, None]
        logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[targets]
        return logits.astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32), targets

    found = calibration.fit(*drawn(2000))
    logits, embeddings, targets = drawn(4000)
    honest = calibration.apply(found, logits, embeddings)
    is_hard = targets == 0
    covered = [sets[is_hard, 0].mean() for sets in (honest.marginal_sets, honest.conformal_sets)]
    assert covered[0] < 0.75
    assert covered[1] == pytest.approx(0.9, abs=0.03)


def test_a_class_of_too_few_samples_has_the_limit_of_all() -> None:
    logits, embeddings, targets = simulated(100, seed=6)
    few = np.flatnonzero(targets == 0)[8:]
    keep = np.setdiff1d(np.arange(100), few)
    found = calibration.fit(logits[keep], embeddings[keep], targets[keep])
    of_all = found.conformal_quantile
    assert [limit == of_all for limit in found.class_quantiles] == [True, False, False]
    assert (found.class_counts[0], found.without_own_quantile) == (8, (0,))


def test_an_older_package_decides_by_the_one_limit() -> None:
    logits, embeddings, targets = simulated(100, seed=6)
    old = replace(calibration.fit(logits, embeddings, targets), class_counts=())
    honest = calibration.apply(old, logits, embeddings)
    assert (honest.conformal_sets == honest.marginal_sets).all()


def weighted_up(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network says that learnt a class of 4 % as if it were as common as the others."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.48, 0.48, 0.04])
    targets = rng.choice(3, size=n, p=shares)
    centres = 2.5 * np.eye(3)
    seen = rng.normal(size=(n, 3)) + centres[targets]
    logits = seen @ centres.T - (centres**2).sum(axis=1) / 2
    return logits.astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32), targets


def test_offsets_put_back_the_shares_that_a_weighted_training_took_away() -> None:
    found = calibration.fit(*weighted_up(3000, seed=0))
    logits, embeddings, targets = weighted_up(6000, seed=1)
    honest = calibration.apply(found, logits, embeddings)
    is_rare = targets == 2
    assert honest.probabilities[:, 2].mean() == pytest.approx(is_rare.mean(), abs=0.005)
    assert honest.balanced[:, 2].mean() > 2 * is_rare.mean()


def test_a_rare_class_is_called_as_the_network_weights_it() -> None:
    found = calibration.fit(*weighted_up(3000, seed=0))
    logits, embeddings, targets = weighted_up(6000, seed=1)
    honest = calibration.apply(found, logits, embeddings)
    assert (honest.called == logits.argmax(axis=1)).all()
    is_rare = targets == 2
    by_probability = honest.probabilities.argmax(axis=1)
    assert (honest.called[is_rare] == 2).mean() > (by_probability[is_rare] == 2).mean() + 0.05


def test_an_honest_network_of_a_rare_class_gets_no_offsets() -> None:
    """It says the rare class as often as it comes."""
    rng = np.random.default_rng(2)
    logits = 2 * rng.normal(size=(600, 3)) + np.log([0.48, 0.48, 0.04])
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (rng.random((600, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert calibration.fit(logits, rng.normal(size=(600, 4)), targets).class_offsets == ()


@pytest.mark.parametrize(("n_rare", "has_offsets"), [(2, False), (3, True)])
def test_a_class_of_under_three_samples_is_not_said_to_be_rare(
    n_rare: int, *, has_offsets: bool
) -> None:
    """Its share is not known, and an offset would rule it out for ever."""
    logits, embeddings, targets = weighted_up(3000, seed=0)
    keep = np.concatenate([np.flatnonzero(targets != 2), np.flatnonzero(targets == 2)[:n_rare]])
    found = calibration.fit(logits[keep], embeddings[keep], targets[keep])
    assert bool(found.class_offsets) is has_offsets


@pytest.mark.parametrize(("n", "has_offsets"), [(19, False), (20, True)])
def test_under_twenty_samples_nothing_is_put_back(n: int, *, has_offsets: bool) -> None:
    """The network is sure of class 1, of which three samples are."""
    targets = np.zeros(n, dtype=np.int64)
    targets[:3] = 1
    logits = np.tile([0.0, 1.5], (n, 1))
    logits[:3, 1] = 1.6
    found = calibration.fit(logits, np.random.default_rng(0).normal(size=(n, 4)), targets)
    assert bool(found.class_offsets) is has_offsets


def test_only_the_called_class_alone_is_an_answer() -> None:
    sets = np.array([[True, False], [False, True], [True, True], [False, False], [True, False]])
    odd, called = np.array([0.5, 0.5, 0.5, 0.5, 1.5]), np.zeros(5, np.int64)
    found = calibration.answered(sets, odd, called)
    assert found.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(("n", "keeps_all"), [(8, True), (9, False)])
def test_nine_samples_are_the_fewest_for_a_quantile_at_a_tenth(n: int, keeps_all: bool) -> None:
    logits, embeddings, _ = simulated(n, seed=4)
    found = calibration.fit(logits, embeddings, logits.argmax(axis=1))
    sets = calibration.apply(found, logits, embeddings).conformal_sets
    assert (found.temperature, bool(sets.all())) == (1.0, keeps_all)


def test_one_in_three_hundred_samples_like_the_reference_is_called_out_of_scope() -> None:
    shares = []
    for seed in range(100, 130, 3):
        reference = simulated(900, seed=seed)[1]
        found = calibration.fit(*simulated(2000, seed=seed + 1), train_embeddings=reference)
        logits, embeddings, _ = simulated(4000, seed=seed + 2)
        shares.append((calibration.apply(found, logits, embeddings).ood_scores > 1).mean())
    assert np.mean(shares) == pytest.approx(out_of_scope.ALPHA, abs=0.0015)


def test_the_distance_is_mahalanobis_when_every_direction_is_kept() -> None:
    logits, embeddings, targets = simulated(300, seed=8)
    found = calibration.fit(logits, embeddings, targets, train_embeddings=embeddings)
    exact = embeddings.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    precision = np.linalg.inv(np.cov(exact.T))
    expected = np.sqrt(np.einsum("ij,jk,ik->i", centred, precision, centred))
    scores = calibration.apply(found, logits, embeddings).ood_scores
    assert scores * found.ood_threshold == pytest.approx(expected, rel=1e-4)


def test_a_step_along_a_quiet_direction_is_further_than_along_a_loud_one() -> None:
    logits, embeddings, targets = simulated(300, seed=9)
    found = calibration.fit(logits, embeddings, targets)
    steps = np.asarray(found.ood_mean) + 12 * np.eye(6)[[0, 5]]
    loud, quiet = calibration.apply(found, logits[:2], steps).ood_scores
    assert loud < 1 < 2 < quiet


def test_a_few_reference_samples_keep_few_directions_and_finite_scores() -> None:
    logits, embeddings, targets = simulated(12, seed=10)
    wide = np.tile(embeddings, (1, 40))
    found = calibration.fit(logits, wide, targets, train_embeddings=np.tile(wide, (2, 1)))
    assert len(found.ood_axes) == 2
    assert np.isfinite(calibration.apply(found, logits, wide).ood_scores).all()


def test_a_step_along_a_direction_that_was_not_kept_counts_by_the_residual() -> None:
    # 25 reference samples keep two of six directions; the other four have deviation 1.
    logits, _, targets = simulated(50, seed=20)
    embeddings = np.random.default_rng(20).normal(size=(25, 6)) * [30, 10, 1, 1, 1, 1]
    found = calibration.fit(
        logits, np.tile(embeddings, (2, 1)), targets, train_embeddings=embeddings
    )
    step = np.asarray(found.ood_mean) + 40 * np.eye(6)[[5]]
    score = calibration.apply(found, logits[:1], step).ood_scores[0]
    assert score * found.ood_threshold == pytest.approx(40, rel=0.2)


def test_without_training_embeddings_new_samples_are_still_in_scope() -> None:
    # 400 numbers per sample: a reference that judged its own samples would call most others far.
    rng = np.random.default_rng(21)
    logits, _, targets = simulated(220, seed=21)
    found = calibration.fit(logits, rng.normal(size=(220, 400)), targets)
    fresh = rng.normal(size=(220, 400))
    assert (calibration.apply(found, logits, fresh).ood_scores > 1).mean() < 0.05


def test_a_constant_embedding_does_not_divide_by_zero() -> None:
    logits, _, targets = simulated(40, seed=11)
    flat = np.ones((40, 6), dtype=np.float32)
    scores = calibration.apply(calibration.fit(logits, flat, targets), logits, flat).ood_scores
    assert (scores <= 1).all()


@pytest.mark.parametrize("n", [0, 1])
def test_an_all_but_empty_calibration_split_is_refused(n: int) -> None:
    with pytest.raises(ConfigError, match="two or more labelled"):
        calibration.fit(*simulated(n, seed=13))


def test_a_diverged_network_is_refused() -> None:
    logits, embeddings, targets = simulated(30, seed=14)
    with pytest.raises(ConfigError, match="diverged"):
        calibration.fit(logits * np.float32(np.nan), embeddings, targets)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10_000), st.floats(0.1, 30))
def test_probabilities_sum_to_one_and_scores_are_finite(
    n: int, seed: int, sharpness: float
) -> None:
    logits, embeddings, targets = simulated(n, seed=seed, sharpness=sharpness)
    out = calibration.apply(calibration.fit(logits, embeddings, targets), logits, embeddings)
    assert out.probabilities.dtype == np.float64
    assert out.probabilities.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-12)
    assert np.isfinite(out.ood_scores).all()
