import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from neuro.errors import ConfigError
from neuro.evaluation import kappa


def drawn(n: int, agree: float, seed: int = 0) -> tuple[list[str], list[str], list[str]]:
    rng = np.random.default_rng(seed)
    first = rng.choice(["a", "b", "c"], n)
    second = np.where(rng.random(n) < agree, first, rng.choice(["a", "b", "c"], n))
    return first.tolist(), second.tolist(), [str(row) for row in range(n)]


def test_it_is_the_kappa_of_scikit_learn() -> None:
    first, second, groups = drawn(200, 0.7)
    found = kappa.cohen(first, second, groups)
    assert found is not None
    assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_cohens_own_example_of_three_categories() -> None:
    # Cohen (1960), table 1: 200 people, proportions of agreement .53, by chance .41: kappa .20
    table = [[50, 26, 24], [24, 4, 32], [26, 10, 4]]
    first = [str(a) for a in range(3) for b in range(3) for _ in range(table[a][b])]
    second = [str(b) for a in range(3) for b in range(3) for _ in range(table[a][b])]
    found = kappa.cohen(first, second, [str(row) for row in range(200)])
    assert found is not None
    agreed = (50 + 4 + 4) / 200
    by_chance = (100 * 100 + 60 * 40 + 40 * 60) / 200**2
    assert found.value == pytest.approx((agreed - by_chance) / (1 - by_chance))


def test_its_interval_has_the_truth_as_often_as_it_says() -> None:
    truth = 0.7 * 1.0  # agreement by drawing apart has a kappa of its share
    found = [kappa.cohen(*drawn(80, 0.7, seed)) for seed in range(400)]
    hits = [each is not None and each.low <= truth <= each.high for each in found]
    assert 0.92 <= np.mean(hits) <= 0.98


def test_images_of_one_group_count_as_less_than_as_many_groups() -> None:
    first, second, groups = drawn(90, 0.8)
    apart = kappa.cohen(first * 2, second * 2, [*groups, *(f"x{name}" for name in groups)])
    together = kappa.cohen(first * 2, second * 2, groups * 2)
    assert apart is not None
    assert together is not None
    assert apart.value == together.value
    assert together.high - together.low > 1.2 * (apart.high - apart.low)


def test_readers_who_never_differ_may_still_differ_on_what_they_have_not_seen() -> None:
    first, _, groups = drawn(20, 1.0)
    found = kappa.cohen(first, first, groups)
    assert found is not None
    assert found.value == found.high == 1
    assert 0.6 < found.low < 0.9


def test_one_class_alone_is_agreement() -> None:
    found = kappa.cohen(["a"] * 12, ["a"] * 12, [str(row) for row in range(12)])
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)


def test_no_image_is_no_figure() -> None:
    assert kappa.cohen([], [], []) is None


def test_calls_of_other_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="are not of the same"):
        kappa.cohen(["a"], ["a", "b"], ["1"])


def test_of_one_group_it_says_that_nothing_is_known() -> None:
    called = ["a"] * 99 + ["b"]
    found = kappa.cohen(called, called, ["1"] * 100)
    assert found is not None
    assert found.low == -1
    assert "too few groups" in str(found)
