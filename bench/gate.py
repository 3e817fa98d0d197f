"""What the gate lets through: simulated challengers, equal, better, worse, and broken in some way.

Three classes; groups of 1 + Poisson(1) images of one label. An image is called right where a normal
number is below the quantile of the model's skill; of that number the group has a share that both
models have, the image too, and the rest is the model's own. Promoted shares are per cent.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from neuro.evaluation import estimates, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import gates
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.gates import Decision, PromotionConfig
from neuro.uncertainty import conformal

CLASSES = ("a", "b", "c")
BALANCED, RARE = (1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1)
SKILL = 0.9  # of the champion
GROUP, IMAGE = 0.35, 0.25  # shares of the variance that both models have in common
LARGE = 40_000  # groups of the truth
MARGIN, BETTER = 0.05, 0.03
ASKED_AT_MARGIN, ASKED_CREEP, ASKED_POWER = 5, 95, 80
STEPS, TRIES = 12, 30
CONFIG = PromotionConfig(margin=MARGIN)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TestSet:
    """Labels and groups of images, and how hard each is. shares: of the classes."""

    targets: NDArray[np.int64]
    groups: NDArray[np.int64]
    hardness: Floats

    @classmethod
    def draw(cls, n_groups: int, shares: Iterable[float], rng: np.random.Generator) -> "TestSet":
        """Of so many groups, with shares of the classes."""
        sizes = 1 + rng.poisson(1, n_groups)
        groups = np.repeat(np.arange(n_groups), sizes)
        label = rng.choice(len(CLASSES), n_groups, p=[*shares])
        common = np.sqrt(GROUP) * rng.normal(size=n_groups)[groups]
        hardness = common + np.sqrt(IMAGE) * rng.normal(size=len(groups))
        return cls(targets=label[groups], groups=groups, hardness=hardness)

    def called(self, skill: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """What a model of so much skill calls each image."""
        own = np.sqrt(1 - GROUP - IMAGE) * rng.normal(size=len(self.targets))
        is_right = self.hardness + own < norm.ppf(skill)
        other = (self.targets + rng.integers(1, len(CLASSES), len(self.targets))) % len(CLASSES)
        return np.where(is_right, self.targets, other)

    def answered(self, skill: float, rng: np.random.Generator) -> Evaluation:
        """By a model that is as sure as it is right, with sets for nine in ten."""
        called = self.called(skill, rng)
        n, k = len(called), len(CLASSES)
        probabilities = np.full((n, k), (1 - skill) / (k - 1))
        probabilities[np.arange(n), called] = skill
        # Distinct, so that a quantile divides them.
        probabilities += rng.uniform(0, 0.05, (n, k))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        quantile = conformal.fit(probabilities, self.targets, 0.1)
        return Evaluation(
            split="test",
            model_version="",
            classes=CLASSES,
            sample_ids=np.arange(n).astype(np.str_),
            groups=self.groups.astype(np.str_),
            targets=self.targets,
            called=called,
            probabilities=probabilities,
            conformal_sets=conformal.sets(probabilities, quantile),
            ood_scores=np.full(n, 0.5),
            metrics=(),
            confusion=metrics.confusion(self.targets, called, k),
        )


@cache
def truth(skill: float, shares: tuple[float, ...]) -> float:
    """Macro-F1 of a model of so much skill, of very many groups."""
    rng = np.random.default_rng(1)
    many = TestSet.draw(LARGE, shares, rng)
    table = metrics.confusion(many.targets, many.called(skill, rng), len(CLASSES))
    return float(estimates.of_tables(table[None].astype(float))["macro_f1"][0, 0])


@cache
def skill_at(change: float, shares: tuple[float, ...]) -> float:
    """The skill whose macro-F1 is that of the champion and this change."""
    wanted = truth(SKILL, shares) + change
    found: float = brentq(lambda skill: truth(skill, shares) - wanted, 0.4, 0.999, xtol=1e-3)
    return found


def decide(
    challenger: Evaluation,
    champion: Evaluation,
    strangers: float = 0.0,
    best: Evaluation | None = None,
) -> Decision:
    drawn = Strangers(challenger=strangers, champion=0.0, n=120)
    return gates.decide(
        challenger, champion, recall_floors={}, config=CONFIG, strangers=drawn, best=best
    )


def _macro_f1(model: Evaluation) -> float:
    return float(estimates.of_tables(model.confusion[None].astype(float))["macro_f1"][0, 0])


def is_promoted(challenger: Evaluation, champion: Evaluation) -> bool:
    return decide(challenger, champion).decision == "promote"


def at_change(change: float, groups: int, shares: tuple[float, ...], rounds: int) -> float:
    """Share promoted of challengers whose macro-F1 differs so much in truth, one look each."""
    skill, found = skill_at(change, shares), 0
    for seed in range(rounds):
        rng = np.random.default_rng([seed, groups])
        asked = TestSet.draw(groups, shares, rng)
        found += is_promoted(asked.answered(skill, rng), asked.answered(SKILL, rng))
    return 100 * found / rounds


def many_tries(groups: int, rounds: int) -> float:
    """Share of test sets on which one of TRIES challengers at the margin is promoted."""
    skill, found = skill_at(-MARGIN, BALANCED), 0
    for seed in range(rounds):
        rng = np.random.default_rng([seed, TRIES])
        asked = TestSet.draw(groups, BALANCED, rng)
        champion = asked.answered(SKILL, rng)
        found += any(is_promoted(asked.answered(skill, rng), champion) for _ in range(TRIES))
    return 100 * found / rounds


def creep(step: float, groups: int, rounds: int) -> float:
    """Share of runs of STEPS challengers, each worse than who serves, that end in the margin."""
    within = 0
    for seed in range(rounds):
        rng = np.random.default_rng([seed, STEPS])
        asked = TestSet.draw(groups, BALANCED, rng)
        champion = best = asked.answered(SKILL, rng)
        lost = 0.0
        for _ in range(STEPS):
            challenger = asked.answered(skill_at(-lost - step, BALANCED), rng)
            earlier = None if best is champion else best
            if decide(challenger, champion, best=earlier).decision == "promote":
                champion, lost = challenger, lost + step
                best = max(best, champion, key=_macro_f1)
        within += lost < MARGIN + 1e-9
    return 100 * within / rounds


def _tempered(temperature: float) -> Callable[[Evaluation], Evaluation]:
    def change(model: Evaluation) -> Evaluation:
        odds = model.probabilities ** (1 / temperature)
        return replace(model, probabilities=odds / odds.sum(axis=1, keepdims=True))

    return change


def _with_quantile(quantile: float) -> Callable[[Evaluation], Evaluation]:
    return lambda model: replace(
        model, conformal_sets=conformal.sets(model.probabilities, quantile)
    )


def _calls(change: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Callable[..., Evaluation]:
    return lambda model: replace(model, called=change(model.called))


def _flipped(called: NDArray[np.int64]) -> NDArray[np.int64]:
    is_flipped = np.random.default_rng(0).random(len(called)) < 0.1
    return np.where(is_flipped, (called + 1) % len(CLASSES), called)


PLANTED: dict[str, Callable[[Evaluation], Evaluation]] = {
    "one in ten calls flipped": _calls(_flipped),
    "one class never called": _calls(lambda called: np.where(called == 2, 0, called)),
    "classes in another order": _calls(lambda called: (called + 1) % len(CLASSES)),
    "one class throughout": _calls(np.zeros_like),
    "temperature 10": _tempered(10),
    "temperature 0.1": _tempered(0.1),
    "no class in any set": _with_quantile(0.0),
    "each class in each set": _with_quantile(1.0),
    "out of scope always": lambda model: replace(
        model, ood_scores=np.full(len(model.targets), 1.5)
    ),
}


def planted(groups: int, rounds: int) -> dict[str, float]:
    """Share promoted of each kind of broken model, and of one that answers noise."""
    found = dict.fromkeys((*PLANTED, "out of scope never"), 0)
    for seed in range(rounds):
        rng = np.random.default_rng([seed, 7])
        asked = TestSet.draw(groups, BALANCED, rng)
        champion, challenger = asked.answered(SKILL, rng), asked.answered(SKILL, rng)
        for name, spoil in PLANTED.items():
            found[name] += is_promoted(spoil(challenger), champion)
        noisy = decide(challenger, champion, strangers=1.0)
        found["out of scope never"] += noisy.decision == "promote"
    return {name: 100 * count / rounds for name, count in found.items()}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench gate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    settings = [(n, s) for n in (80, 300) for s in (BALANCED, RARE)]
    few = max(1, options.rounds // 10)
    told: dict[str, Any] = {
        name: {_named(*each): at_change(change, *each, options.rounds) for each in settings}
        for name, change in (("at_margin", -MARGIN), ("equal", 0.0), ("better_by_3", BETTER))
    }
    told |= {
        "one_of_thirty_at_margin": many_tries(300, few),
        "creep_by_1_within_margin": creep(0.01, 300, few),
        "creep_by_2_within_margin": creep(0.02, 300, few),
        "planted_promoted": planted(300, few),
    }
    if options.json:
        print(json.dumps(told, indent=1))
        return
    for name, asked in (
        ("at_margin", f"asked at most {ASKED_AT_MARGIN}"),
        ("equal", ""),
        ("better_by_3", f"asked at least {ASKED_POWER}"),
    ):
        shown = ", ".join(f"{setting} {share:.1f}" for setting, share in told[name].items())
        print(f"{name}: {shown} ({options.rounds} each) {asked}")
    print(f"one of {TRIES} at the margin: {told['one_of_thirty_at_margin']:.0f}, asked at most 5")
    for step in (1, 2):
        share = told[f"creep_by_{step}_within_margin"]
        print(f"{STEPS} steps of {step} points end within the margin: {share:.0f}, asked 95")
    for name, share in told["planted_promoted"].items():
        print(f"planted, {name}: {share:.0f}, asked 0")


def _named(groups: int, shares: tuple[float, ...]) -> str:
    return f"{groups} groups{'' if shares == BALANCED else ', rare'}"
