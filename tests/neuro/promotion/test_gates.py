from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neuro.errors import ConfigError
from neuro.evaluation import metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.images.preprocess import PreprocessSpec
from neuro.models.package import Card
from neuro.promotion import gates
from neuro.promotion.gates import Decision, PromotionConfig
from neuro.uncertainty import calibration

CLASSES = ("a", "b", "c")
CONFIG = PromotionConfig()


def model(right: float, *, n: int = 600, seed: int = 0, wrong_class: int = -1) -> Evaluation:
    """Answers of a model that is right on that share of samples; wrong_class is never called."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 3
    called = np.where(rng.random(n) < right, targets, (targets + 1) % 3)
    called = np.where(called == wrong_class, (called + 1) % 3, called)
    probabilities = np.eye(3)[called]
    groups = np.array([f"g{i // 2}" for i in range(n)])
    return Evaluation(
        split="test",
        model_version="1",
        classes=CLASSES,
        metrics=tuple(metrics.score(probabilities, targets, groups, CLASSES)),
        confusion=metrics.confusion(targets, called, 3),
        sample_ids=np.array([f"s{i}" for i in range(n)]),
        groups=groups,
        targets=targets,
        called=called,
        probabilities=probabilities,
    )


def decide(
    challenger: Evaluation, champion: Evaluation | None, *, floors: dict[str, float] | None = None
) -> Decision:
    return gates.decide(challenger, champion, recall_floors=floors or {}, config=CONFIG)


def test_a_better_challenger_is_promoted() -> None:
    found = decide(model(0.95), model(0.7, seed=1))
    assert (found.decision, found.reason) == ("promote", "all 2 gates passed")


def test_an_equal_challenger_is_promoted_because_it_is_no_worse() -> None:
    found = decide(model(0.9), model(0.9))
    assert (found.decision, found.gates[0].value) == ("promote", 0.0)
    assert found.gates[0].low > -0.05


def test_a_clearly_worse_challenger_leaves_the_champion() -> None:
    found = decide(model(0.6), model(0.95, seed=1))
    assert found.decision == "keep"
    assert "no_worse_on_test" in found.reason
    assert found.gates[0].high < -0.05


def test_too_few_samples_are_inconclusive_and_promote_nobody() -> None:
    found = decide(model(0.8, n=30), model(0.8, n=30, seed=1))
    assert found.decision == "inconclusive"
    assert found.gates[0].low < -0.05 < found.gates[0].high


def test_two_models_that_agree_on_fifteen_groups_are_not_yet_equal() -> None:
    found = decide(model(0.9, n=30), model(0.9, n=30))
    assert (found.decision, found.gates[0].value) == ("inconclusive", 0.0)


def test_a_challenger_like_a_champion_that_is_worse_than_an_earlier_one_is_not_promoted() -> None:
    """Else twelve steps of one point each would lose twelve points."""
    champion, best = model(0.86), replace(model(0.9), model_version="3")

    def decided(first: Evaluation, **more: Any) -> Decision:
        return gates.decide(first, first, recall_floors={}, config=CONFIG, **more)

    assert decided(champion).decision == "promote"
    found = decided(champion, best=best)
    assert (found.decision, found.gates[1].name) == ("inconclusive", "no_worse_than_best")
    assert "minus version 3, the best that served," in found.gates[1].explanation
    both = with_recent(champion, champion)
    assert decided(both, best=with_recent(best, best), known=KNOWN).decision == "inconclusive"


def test_a_wider_margin_lets_the_same_pair_pass() -> None:
    pair = model(0.88), model(0.9, seed=1)
    strict = gates.decide(*pair, recall_floors={}, config=PromotionConfig(margin=0.01))
    loose = gates.decide(*pair, recall_floors={}, config=PromotionConfig(margin=0.2))
    assert (strict.decision, loose.decision) == ("inconclusive", "promote")


def test_the_first_model_is_promoted_when_it_beats_the_largest_class() -> None:
    found = decide(model(0.8), None)
    assert found.decision == "promote"
    assert found.gates[0].name == "above_chance"
    assert found.gates[0].threshold == pytest.approx(1 / 3)


def test_a_first_model_no_better_than_naming_one_class_is_kept_back() -> None:
    found = decide(model(0.35), None)
    assert found.gates[0].low < 1 / 3 < found.gates[0].high
    assert (found.decision, found.reason) == ("keep", "failed: above_chance")


@pytest.mark.parametrize("has_champion", [False, True])
def test_a_missed_recall_floor_keeps_a_challenger_out(*, has_champion: bool) -> None:
    blind = model(0.99, wrong_class=2)  # never calls c
    found = decide(blind, blind if has_champion else None, floors={"c": 0.8})
    assert (found.decision, found.reason) == ("keep", "failed: recall_floor_c")
    assert found.gates[1].value == 0.0


def test_a_recall_just_below_its_floor_is_not_held_against_a_small_set() -> None:
    challenger = model(0.9, n=60)
    recall = challenger.metric("recall_a")
    assert recall is not None
    floor = (recall.value + recall.high) / 2
    assert decide(challenger, None, floors={"a": floor}).decision == "promote"


def test_a_floor_of_a_class_nobody_tested_is_not_passed() -> None:
    challenger = model(0.95)
    partial = replace(
        challenger, metrics=tuple(m for m in challenger.metrics if m.name != "recall_c")
    )
    found = decide(partial, model(0.9, seed=1), floors={"c": 0.5})
    assert found.decision == "inconclusive"
    assert "no c among the test samples" in found.gates[1].explanation


def with_recent(old: Evaluation, recent: Evaluation) -> Evaluation:
    """One model's answers on samples its champion knew, and on newly labelled ones."""
    names = ("sample_ids", "groups", "targets", "called", "probabilities")
    both = {name: np.concatenate([getattr(old, name), getattr(recent, name)]) for name in names}
    n = len(old.targets)
    both["sample_ids"] = np.array([f"s{i}" for i in range(2 * n)])
    both["groups"] = np.array([f"g{i // 2}" for i in range(2 * n)])
    return replace(old, **both)


KNOWN = np.repeat([True, False], 600)


def test_a_challenger_better_on_recent_samples_is_said_to_be() -> None:
    found = gates.decide(
        with_recent(model(0.9), model(0.9, seed=2)),
        with_recent(model(0.9), model(0.6, seed=3)),
        recall_floors={},
        config=CONFIG,
        known=KNOWN,
    )
    assert found.decision == "promote"
    assert found.gates[-1].name == "no_worse_on_recent"
    assert ": shown better;" in found.gates[-1].explanation
    assert found.gates[-1].low > 0


def test_a_challenger_worse_on_recent_samples_is_refused() -> None:
    found = gates.decide(
        with_recent(model(0.9), model(0.5, seed=2)),
        with_recent(model(0.9), model(0.9, seed=3)),
        recall_floors={},
        config=CONFIG,
        known=KNOWN,
    )
    assert (found.decision, found.reason) == ("keep", "failed: no_worse_on_recent")


def test_an_equal_challenger_fails_where_improvement_is_asked() -> None:
    both = with_recent(model(0.9), model(0.9, seed=2))
    found = gates.decide(
        both,
        both,
        recall_floors={},
        config=PromotionConfig(recent_must_improve=True),
        known=KNOWN,
    )
    assert found.decision == "inconclusive"


@pytest.mark.parametrize(("margin", "decision"), [(0.2, "promote"), (0.001, "inconclusive")])
def test_the_margin_of_the_envelope_says_what_is_no_worse(margin: float, decision: str) -> None:
    found = gates.decide(
        model(0.9),
        model(0.9, seed=2),
        recall_floors={},
        config=PromotionConfig(margin=margin),
    )
    assert found.decision == decision


@pytest.mark.parametrize("name", ["sample_ids", "targets", "groups"])
def test_evaluations_of_different_samples_are_not_compared(name: str) -> None:
    challenger = model(0.9)
    other = np.roll(getattr(challenger, name), 3 if name == "groups" else 1)
    changed = {
        "sample_ids": lambda: replace(challenger, sample_ids=other),
        "targets": lambda: replace(challenger, targets=other),
        "groups": lambda: replace(challenger, groups=other),
    }
    with pytest.raises(ConfigError, match="same release and split"):
        decide(challenger, changed[name]())


def test_a_margin_of_half_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"promotion\.margin"):
        PromotionConfig(margin=0.5)


def test_the_gate_refuses_what_was_trained_on_another_splitting(card: Card) -> None:
    gates.require_own_splits(card)
    given = replace(card, splitting="given", leak="given split: 9 of 10 test images have a twin")
    with pytest.raises(ConfigError, match=r"given \(given split: 9 of 10 .* without --split"):
        gates.require_own_splits(given)


@pytest.fixture
def card() -> Card:
    rng = np.random.default_rng(0)
    logits, embeddings = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    return Card(
        problem="p",
        dataset="p",
        architecture="resnet_small",
        classes=CLASSES,
        preprocess=PreprocessSpec(size_px=32),
        calibration=calibration.fit(logits, embeddings, logits.argmax(axis=1)),
        pin={},
        code_revision="",
        training={},
        metrics=(),
        synthetic=False,
        intended_use="tests",
    )


def test_a_gate_says_which_classes_it_could_not_look_at() -> None:
    challenger, champion = model(0.9), model(0.8, seed=1)
    keep = challenger.targets != 2
    found = decide(challenger.take(keep), champion.take(keep))
    assert "over 2 of 3 classes, none of c" in found.gates[0].explanation
    first = gates.decide(challenger.take(keep), None, recall_floors={}, config=PromotionConfig())
    assert "over 2 of 3 classes, none of c" in first.gates[0].explanation
