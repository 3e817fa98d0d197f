"""A challenger may not be worse for some."""

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import subgroup_gate
from tests.neuro.evaluation.answers import evaluation, sure

N = 400
SITE = np.where(np.arange(N) % 10 == 0, "north", "south")
MARGIN = 0.1


def model(share_right: float, *, wrong: NDArray[np.bool_] | None = None) -> Evaluation:
    """Of answers that are all a; wrong: of which the truth is b, too, where another calls right."""
    is_right = np.random.default_rng(0).random(N) < share_right
    if wrong is not None:
        is_right &= ~wrong
    return evaluation(sure([0.9] * N), [0] * N, called=(~is_right).astype(int).tolist())


def test_a_challenger_that_fails_at_one_site_is_refused_and_the_site_is_named() -> None:
    """It loses 9 points of accuracy over all, and 90 of 100 at the site."""
    ruined = model(0.9, wrong=SITE == "north")
    found = subgroup_gate.compare(ruined, model(0.9), {"site": SITE}, MARGIN)
    assert found is not None
    assert found.is_refuted
    assert found.value == -np.mean(model(0.9).is_right[SITE == "north"])
    assert found.explanation.startswith("site 'north', the worst of 2 subgroups: accuracy")
    assert "40 samples, 40 groups; its 97.5 % interval" in found.explanation


def test_chance_among_many_subgroups_refuses_no_equal_challenger() -> None:
    """Of models whose errors are their own, by twelve columns of chance."""
    rng, refused = np.random.default_rng(1), 0
    for _ in range(40):
        ours, theirs = (
            evaluation(sure([0.9] * N), [0] * N, called=(rng.random(N) < 0.2).astype(int).tolist())
            for _ in range(2)
        )
        columns = {f"c{n}": rng.choice(["x", "y", "z"], N) for n in range(12)}
        found = subgroup_gate.compare(ours, theirs, columns, 0.001)
        refused += found is None or found.is_refuted
    assert refused <= 4  # a 40th of them, and the margin is next to nothing


def test_a_subgroup_of_few_groups_is_none() -> None:
    few = np.where(np.arange(N) < 9, "few", "")
    assert subgroup_gate.compare(model(0.9), model(0.9), {"c": few}, MARGIN) is None
    assert subgroup_gate.compare(model(0.9), model(0.9), {}, MARGIN) is None
