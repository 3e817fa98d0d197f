"""What a challenger must not lose beside the class that it calls."""

from dataclasses import replace

import numpy as np
import pytest

from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import answer_gates, gates
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.gates import Decision, Evidence, PromotionConfig
from neuro.uncertainty import conformal
from tests.neuro.evaluation.answers import evaluation

N = 400
MARGINS = (
    *("answered_margin", "scope_margin", "coverage_margin"),
    *("log_loss_margin", "calibration_margin"),
)
EQUAL = Strangers(challenger=0.0, champion=0.0, n=120)


def model(*, temperature: float = 1.0, quantile: float | None = None, seed: int = 0) -> Evaluation:
    """Of two classes: the same calls at any temperature, with sets by a quantile; all in scope."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(2, size=N)
    margin = np.where(targets == 0, 1.0, -1.0) * rng.normal(1.2, 1.5, N)
    share = 1 / (1 + np.exp(-margin / temperature))
    probabilities = np.stack([share, 1 - share], axis=1)
    limit = conformal.fit(probabilities, targets, 0.1) if quantile is None else quantile
    sets = conformal.sets(probabilities, limit)
    return evaluation(probabilities, targets.tolist(), sets=sets, ood_scores=[0.5] * N)


def decide(challenger: Evaluation, strangers: Strangers = EQUAL) -> Decision:
    return gates.decide(
        challenger,
        model(),
        recall_floors={},
        config=PromotionConfig(),
        evidence=Evidence(strangers=strangers),
    )


def test_an_equal_challenger_loses_nothing() -> None:
    found = decide(model())
    assert found.decision == "promote"
    assert [gate.name for gate in found.gates] == [
        "no_worse_on_test",
        "answers_no_less",
        "in_scope_no_less",
        "sets_no_worse",
        "log_loss_no_worse",
        "calibration_no_worse",
        "answers_no_strangers",
        "test_set_not_worn",
    ]


@pytest.mark.parametrize(
    ("challenger", "failed"),
    [
        (model(temperature=10), "log_loss_no_worse"),
        (model(temperature=0.1), "log_loss_no_worse"),
        (model(quantile=0.0), "answers_no_less, sets_no_worse"),
        (model(quantile=1.0), "answers_no_less"),
        (model(temperature=0.1, quantile=0.001), "sets_no_worse, log_loss_no_worse"),
        (replace(model(), ood_scores=np.full(N, 2.0)), "answers_no_less, in_scope_no_less"),
        (model(temperature=2.5), "calibration_no_worse"),
    ],
    ids=["unsure", "too sure", "no sets", "full sets", "narrow sets", "never in scope", "blurred"],
)
def test_a_model_that_calls_all_alike_is_refused_for_what_else_it_lost(
    challenger: Evaluation, failed: str
) -> None:
    found = decide(challenger)
    assert found.gates[0].value == 0.0  # of macro-F1
    assert found.decision == "keep"
    assert set(failed.split(", ")) <= set(found.reason.removeprefix("failed: ").split(", "))


def test_a_model_that_answers_drawn_noise_is_refused() -> None:
    found = decide(model(), Strangers(challenger=0.2, champion=0.1, n=120))
    assert (found.decision, found.reason) == ("keep", "failed: answers_no_strangers")
    assert decide(model(), Strangers(challenger=0.14, champion=0.1, n=120)).decision == "promote"


def test_a_loss_that_few_samples_do_not_show_holds_nothing_back() -> None:
    few = np.arange(N) < 12
    worse = model(quantile=0.0).take(few), model().take(few)
    (answers, *_) = answer_gates.compare(*worse, **dict.fromkeys(MARGINS, 0.9))
    assert answers.value < 0
    assert answers.passed


def test_of_models_without_sets_what_needs_none_is_compared() -> None:
    bare = replace(model(), conformal_sets=None)
    found = answer_gates.compare(bare, bare, **dict.fromkeys(MARGINS, 0.1))
    names = [gate.name for gate in found]
    assert names == ["in_scope_no_less", "log_loss_no_worse", "calibration_no_worse"]
