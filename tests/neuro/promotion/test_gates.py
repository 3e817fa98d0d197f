from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from neuro.errors import ConfigError
from neuro.evaluation import metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.looks import LookBudget
from neuro.images.preprocess import PreprocessSpec
from neuro.models.package import Card
from neuro.promotion import gates
from neuro.promotion.gates import Decision, Evidence, PromotionConfig
from neuro.uncertainty import calibration

CLASSES = ("a", "b", "c")
CONFIG = PromotionConfig()
GROUPS_OF_A_CLASS = 200  # of the models below


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
    assert (found.decision, found.reason) == ("promote", "all 4 gates passed")


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

    def decided(first: Evaluation, **known: Any) -> Decision:
        evidence = Evidence(**known)
        return gates.decide(first, first, recall_floors={}, config=CONFIG, evidence=evidence)

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


def seen_in(groups: int, *, wrong: int = 0) -> Evaluation:
    """Of a model that is right, but for so many of class a, which is in so many groups."""
    classes = np.repeat([0, 1, 2], [groups, 40, 40])
    called = np.where(np.arange(len(classes)) < wrong, 1, classes)
    first = model(1.0, n=len(classes))
    answers = replace(
        first,
        targets=classes,
        called=called,
        probabilities=np.eye(3)[called],
        groups=np.array([f"g{i}" for i in range(len(classes))]),
    )
    return answers.take(classes >= 0)


@pytest.mark.parametrize(
    ("groups", "wrong", "outcome", "decision"),
    [
        (35, 0, "passed", "promote"),  # 35 show 0.80 of a recall of 0.90, one time of two
        (34, 0, "not enough groups", "promote"),
        (34, 5, "not enough groups", "promote"),
        (16, 10, "failed", "keep"),
        (60, 6, "not shown", "inconclusive"),
        (200, 6, "passed", "promote"),
    ],
)
def test_a_recall_floor_is_to_be_shown_where_a_clearly_better_model_would_show_it(
    groups: int, wrong: int, outcome: str, decision: str
) -> None:
    challenger = seen_in(groups, wrong=wrong)
    found = decide(challenger, challenger, floors={"a": 0.8})
    (gate,) = (gate for gate in found.gates if gate.name == "recall_floor_a")
    assert (gate.outcome, gate.passed) == (outcome, outcome in ("passed", "not enough groups"))
    assert found.decision == decision
    is_named = "not enough groups to show recall_floor_a" in found.reason
    assert is_named == (outcome == "not enough groups")


def test_a_first_model_that_does_not_show_its_floor_is_kept_back() -> None:
    found = decide(seen_in(60, wrong=6), None, floors={"a": 0.8})
    assert (found.decision, found.reason) == ("keep", "failed: recall_floor_a")


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
        evidence=Evidence(known=KNOWN),
    )
    assert found.decision == "promote"
    (recent,) = (gate for gate in found.gates if gate.name == "no_worse_on_recent")
    assert recent.explanation.endswith("; shown better")
    assert recent.low > 0


def test_a_challenger_worse_on_recent_samples_is_refused() -> None:
    found = gates.decide(
        with_recent(model(0.9), model(0.5, seed=2)),
        with_recent(model(0.9), model(0.9, seed=3)),
        recall_floors={},
        config=CONFIG,
        evidence=Evidence(known=KNOWN),
    )
    assert (found.decision, found.reason) == ("keep", "failed: no_worse_on_recent")


def test_an_equal_challenger_fails_where_improvement_is_asked() -> None:
    both = with_recent(model(0.9), model(0.9, seed=2))
    found = gates.decide(
        both,
        both,
        recall_floors={},
        config=PromotionConfig(recent_must_improve=True),
        evidence=Evidence(known=KNOWN),
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


@pytest.mark.parametrize(
    "wrong",
    [{"margin": 0.5}, {"subgroup_margin": 0.0}, {"max_slowdown": 0.9}, {"max_growth": np.inf}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_limit_that_limits_nothing_or_all_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"promotion.{next(iter(wrong))}"):
        PromotionConfig(**wrong)


def at_look(number: int, allowed: int = 50) -> Decision:
    return gates.decide(
        model(0.9),
        model(0.9, seed=2),
        recall_floors={},
        config=CONFIG,
        budget=LookBudget(number=number, allowed=allowed),
    )


def test_a_later_challenger_of_a_test_set_is_allowed_less_error() -> None:
    """Of 0.05 in all: a 40th at the first, a 2200th at the tenth."""
    first, tenth = at_look(1), at_look(10)
    assert (first.decision, tenth.decision) == ("promote", "inconclusive")
    assert (first.error, tenth.error) == (pytest.approx(1 / 40), pytest.approx(1 / 2200))
    widths = [gate.high - gate.low for gate in (first.gates[0], tenth.gates[0])]
    quantiles = student.ppf([1 - 1 / 2200, 1 - 1 / 40], GROUPS_OF_A_CLASS - 1)
    assert widths[1] / widths[0] == pytest.approx(quantiles[0] / quantiles[1])
    assert "99.91 % interval, that of challenger 10 of this test set," in tenth.gates[0].explanation


def test_a_worn_test_set_promotes_nobody_and_the_gate_says_what_to_do() -> None:
    last, worn = at_look(1, allowed=1), at_look(2, allowed=1)
    assert last.gates[-1].passed
    assert (worn.decision, worn.gates[-1].name) == ("keep", "test_set_not_worn")
    assert "challenger 2 of the 1 that" in worn.gates[-1].explanation
    assert "deliver fresh test images, and lock" in worn.gates[-1].explanation
    assert "`neuro lock RELEASE --reason ...`" in worn.gates[-1].explanation


def test_the_gate_says_how_many_groups_a_decision_needs() -> None:
    """Of two that agree throughout: 0.95 ** 72 and 0.92 ** 45 are the first below a 40th."""
    found = decide(model(0.9), model(0.9))
    needed = found.groups_needed
    assert needed is not None
    assert (needed.there, needed.equal, needed.better_by_3_points) == (300, 72, 45)
    assert "about 72 groups of an equal challenger, and 45 of" in found.gates[0].explanation
    assert decide(model(0.9), None).groups_needed is None


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
