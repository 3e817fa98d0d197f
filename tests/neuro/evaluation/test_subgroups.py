"""On whom a model fails."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from neuro.evaluation import subgroups
from neuro.evaluation.subgroups import Subgroups
from tests.neuro.evaluation.answers import evaluation, sure

N = 200
SEX = np.array(["female", "male"] * (N // 2))


def compared(wrong: NDArray[np.bool_], **columns: NDArray[np.str_]) -> Subgroups:
    """Of answers that are all of class a, some of them wrong."""
    found = evaluation(sure([0.9] * N), wrong.astype(int).tolist())
    return subgroups.compare(found, columns)


def some(share: float, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(N) < share


def test_a_value_on_which_it_fails_differs() -> None:
    found = compared(some(0.05) | ((SEX == "male") & some(0.4, seed=1)), sex=SEX)
    female, male = found.shown
    assert (female.value, male.value) == ("female", "male")
    assert male.accuracy.value < 0.7 < 0.9 < female.accuracy.value
    assert male.difference == pytest.approx(male.accuracy.value - female.accuracy.value)
    assert male.differs
    assert female.differs


def test_chance_alone_seldom_differs() -> None:
    """Twenty columns of nothing: corrected for their number, one in twenty such sets errs."""
    n_wrong = 0
    for seed in range(20):
        columns = {
            f"c{number}": np.where(some(0.5, seed=1000 * seed + number), "x", "y")
            for number in range(20)
        }
        found = compared(some(0.2, seed=seed), **columns)
        n_wrong += any(each.differs for each in found.shown)
    assert n_wrong <= 4


def test_a_small_subgroup_without_an_error_does_not_differ_by_that() -> None:
    """Ten of five hundred, all of accuracy 0.95: uncorrected, one in twenty may err."""
    rng, differing = np.random.default_rng(0), 0
    few = np.where(np.arange(510) < 10, "few", "many")
    for _ in range(200):
        wrong = (rng.random(510) < 0.05).astype(int)
        found = evaluation(sure([0.9] * 510), wrong.tolist())
        shown = subgroups.compare(found, {"column": few}).shown
        chance = shown[0].chance
        assert chance is not None
        differing += chance / 2 < subgroups.DIFFERS  # of two comparisons
    assert differing <= 10


def test_a_subgroup_of_nothing_but_errors_differs() -> None:
    found = compared(SEX == "male", sex=SEX)
    assert found.shown[1].difference == -1.0
    assert found.shown[1].differs


def test_a_value_of_under_ten_groups_is_hidden_and_counted() -> None:
    rare = np.where(np.arange(N) < 9, "rare", SEX)
    found = compared(some(0.2), sex=rare)
    assert {each.value for each in found.shown} == {"female", "male"}
    assert found.hidden == 1


@pytest.mark.parametrize(
    "values",
    [["same"] * N, [""] * N, [f"name {number}" for number in range(N)]],
    ids=["one value", "unknown", "names"],
)
def test_a_column_that_divides_nothing_is_left_out(values: Sequence[str]) -> None:
    assert compared(some(0.2), column=np.array(values)) == Subgroups(shown=(), hidden=0)


def test_samples_of_which_nothing_is_known_are_on_neither_side() -> None:
    known = np.where(np.arange(N) < 100, SEX, "")
    wrong = np.arange(N) >= 100  # all unknown ones
    wrong[0] = True
    found = compared(wrong, sex=known)
    assert [each.accuracy.n for each in found.shown] == [50, 50]
    assert found.shown[0].difference == pytest.approx(-0.02)


def test_the_smallest_chance_is_multiplied_by_the_number_of_comparisons() -> None:
    wrong = some(0.05) | ((SEX == "male") & some(0.2, seed=1))
    alone = compared(wrong, sex=SEX).shown[1].chance
    with_others = compared(wrong, sex=SEX, other=np.where(some(0.5, seed=7), "x", "y"))
    assert alone is not None
    assert with_others.shown[1].chance == pytest.approx(2 * alone)


def test_a_group_on_both_sides_is_left_out_as_one() -> None:
    """Half of a patient's images are of each value: the difference is within patients."""
    groups = [f"g{number // 2}" for number in range(N)]
    patient_is_hard = np.repeat(some(0.5, seed=3)[: N // 2], 2)
    found = evaluation(sure([0.9] * N), patient_is_hard.astype(int).tolist(), groups)
    shown = subgroups.compare(found, {"sex": SEX}).shown
    assert shown[0].difference == 0
    assert shown[0].chance == 1.0
