from dataclasses import replace

import numpy as np
import pytest

from monitoring import audit_sample
from monitoring.windows import Observed


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def window(rng: np.random.Generator, n: int, *, each: int = 1) -> Observed:
    """n groups of so many images; the less sure err more often."""
    confidence = rng.uniform(0.5, 1, n * each)
    probabilities = np.column_stack((confidence, 1 - confidence))
    flip = rng.random(n * each) < 0.5
    probabilities[flip] = probabilities[flip][:, ::-1]
    return Observed(
        groups=np.repeat(np.arange(n), each).astype(str),
        descriptors=rng.normal(size=(n * each, 3)),
        features=np.zeros((n * each, 1)),
        probabilities=probabilities,
        confidence=confidence,
        correct=(rng.random(n * each) < confidence).astype(np.float64),
    )


def unusual(observed: Observed) -> np.ndarray:
    return np.abs(observed.descriptors[:, 0])


def test_weighted_errors_have_the_mean_of_the_window(rng: np.random.Generator) -> None:
    observed = window(rng, 300)
    means = []
    for _ in range(400):
        drawn = audit_sample.draw(observed, unusual(observed), 40, rng)
        wrong = 1 - observed.correct[[each.row for each in drawn]]
        means.append(float(np.mean(wrong * [each.weight for each in drawn])))
    assert np.mean(means) == pytest.approx(1 - observed.correct.mean(), abs=0.012)


def test_a_group_is_drawn_once_at_most(rng: np.random.Generator) -> None:
    observed = window(rng, 100, each=5)
    drawn = audit_sample.draw(observed, unusual(observed), 40, rng)
    groups = observed.groups[[each.row for each in drawn]]
    assert len(np.unique(groups)) == len(groups) == 40


def test_the_unsure_and_the_unusual_are_preferred_and_weigh_less(rng: np.random.Generator) -> None:
    observed = window(rng, 1000)
    drawn = audit_sample.draw(observed, unusual(observed), 200, rng)
    n = {kind: sum(each.stratum.startswith(kind) for each in drawn) for kind in ("un", "called")}
    assert n["un"] > 1.3 * n["called"] / 1.5  # 60 % of the draws, of 40 % of the images
    weights = {each.stratum: each.weight for each in drawn}
    assert weights["uncertain"] < 1 < weights["called 0"] <= audit_sample.MOST_WEIGHT
    least = np.sort(observed.confidence)[200]
    assert all(
        observed.confidence[each.row] < least for each in drawn if each.stratum == "uncertain"
    )


@pytest.mark.parametrize(("groups", "n"), [(30, 30), (41, 40), (119, 40)])
def test_of_few_groups_the_draw_is_uniform(rng: np.random.Generator, groups: int, n: int) -> None:
    observed = window(rng, groups, each=2)
    drawn = audit_sample.draw(observed, unusual(observed), 40, rng)
    assert len(drawn) == n
    assert {(each.stratum, each.weight) for each in drawn} == {("uniform", 1.0)}


def test_a_class_that_is_rarely_called_cuts_no_draw_short(rng: np.random.Generator) -> None:
    observed = window(rng, 200)
    rare = np.column_stack((observed.probabilities, np.zeros(200)))
    rare[np.argmax(observed.confidence)] = (0, 0, 1)
    observed = replace(observed, probabilities=rare)
    n = [len(audit_sample.draw(observed, unusual(observed), 40, rng)) for _ in range(50)]
    assert set(n) == {40}


def test_nothing_is_drawn_once_a_stratum_has_none_left(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_sample, "_ENOUGH", 1)
    observed = window(rng, 45)
    for _ in range(50):
        drawn = audit_sample.draw(observed, unusual(observed), 44, rng)
        assert len(drawn) < 44
        assert sum(each.stratum == "uncertain" for each in drawn[:-1]) < 9


def test_the_same_seed_draws_the_same() -> None:
    observed = window(np.random.default_rng(1), 200)
    first, second = (
        audit_sample.draw(observed, unusual(observed), 40, np.random.default_rng(5))
        for _ in range(2)
    )
    assert first == second


def test_what_lies_far_from_the_reference_is_unusual(rng: np.random.Generator) -> None:
    reference = np.column_stack((rng.normal(size=500), np.zeros(500)))
    found = audit_sample.unusualness(reference, np.array([[0.0, 5.0], [6.0, 0.0]]))
    assert found[0] > 1e6  # a figure that never varied before
    assert found[1] == pytest.approx(6, rel=0.2)


@pytest.mark.parametrize("n_small", [30, 200])  # drawn uniformly, and by strata
def test_weighted_errors_have_the_mean_of_the_images_where_small_groups_err_more(
    rng: np.random.Generator, n_small: int
) -> None:
    sizes = [30] * 10 + [2] * n_small
    groups = np.repeat(np.arange(len(sizes)), sizes)
    known = window(rng, len(groups))
    observed = replace(known, groups=groups.astype(str), correct=(groups < 10).astype(np.float64))
    wrong = 1 - observed.correct
    means = []
    for _ in range(300):
        drawn = audit_sample.draw(observed, unusual(observed), 20, rng)
        means.append(np.mean([each.weight * wrong[each.row] for each in drawn]))
    assert np.mean(means) == pytest.approx(wrong.mean(), rel=0.06)
