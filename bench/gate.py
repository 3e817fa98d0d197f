"""What the gate lets through: simulated challengers, equal, better, worse, and broken in some way.

Three classes; groups of 1 + Poisson(1) images of one label. An image is called right where a normal
number is below the quantile of the model's skill; of that number the group has a share that both
models have, the image too, and the rest is the model's own. Promoted shares are per cent. A planted
model is a copy of the champion but for one fault.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from neuro.evaluation import estimates, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.looks import LookBudget
from neuro.problems import problem
from neuro.promotion import gates
from neuro.promotion.answer_gates import Strangers
from neuro.promotion.cost_gates import Cost
from neuro.promotion.gates import NO_EVIDENCE, Decision, Evidence, PromotionConfig
from neuro.uncertainty import conformal

CLASSES = ("a", "b", "c")
BALANCED, RARE = (1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1)
SKILL = 0.9  # of the champion
GROUP, IMAGE = 0.35, 0.25  # shares of the variance that both models have in common
LARGE = 40_000  # groups of the truth
MARGIN, BETTER = 0.05, 0.03
ASKED_AT_MARGIN, ASKED_CREEP, ASKED_POWER = 5, 95, 80
STEPS, TRIES = 12, 30
FEWER = 5  # simulations of the rows that take longer
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
        probabilities += rng.uniform(-0.02, 0.02, (n, k))
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A test set of so many groups, and the number of its challenger."""

    groups: int
    shares: tuple[float, ...]
    look: int = 1

    def __str__(self) -> str:
        return f"{self.groups} groups{'' if self.shares == BALANCED else ', rare'}"

    @property
    def about(self) -> str:
        """Without the number of groups."""
        return f"{'balanced' if self.shares == BALANCED else 'rare'}, look {self.look}"


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
    evidence: Evidence = NO_EVIDENCE,
    *,
    look: int = 1,
    floors: Mapping[str, float] | None = None,
) -> Decision:
    return gates.decide(
        challenger,
        champion,
        recall_floors=floors or {},
        config=CONFIG,
        budget=LookBudget(number=look),
        evidence=evidence,
    )


def _macro_f1(model: Evaluation) -> float:
    return float(estimates.of_tables(model.confusion[None].astype(float))["macro_f1"][0, 0])


def is_promoted(challenger: Evaluation, champion: Evaluation, look: int = 1) -> bool:
    return decide(challenger, champion, look=look).decision == "promote"


def at_change(change: float, setting: Setting, rounds: int) -> float:
    """Share promoted of challengers whose macro-F1 differs so much in truth, one look each."""
    skill, found = skill_at(change, setting.shares), 0
    for seed in range(rounds):
        rng = np.random.default_rng([seed, setting.groups])
        asked = TestSet.draw(setting.groups, setting.shares, rng)
        pair = asked.answered(skill, rng), asked.answered(SKILL, rng)
        found += is_promoted(*pair, setting.look)
    return 100 * found / rounds


def groups_for(change: float, setting: Setting, rounds: int) -> int:
    """How many groups the gate says such a challenger needs, the median of its statements."""
    skill, told = skill_at(change, setting.shares), []
    for seed in range(rounds):
        rng = np.random.default_rng([seed, 5])
        asked = TestSet.draw(setting.groups, setting.shares, rng)
        pair = asked.answered(skill, rng), asked.answered(SKILL, rng)
        needed = decide(*pair, look=setting.look).groups_needed
        told.append(0 if needed is None else needed.better_by_3_points)
    return int(np.median(told))


def stated(setting: Setting, rounds: int) -> dict[str, float]:
    """That number, and the share promoted of challengers better by 3 points with so many."""
    needed = groups_for(BETTER, setting, max(1, rounds // 10))
    promoted = at_change(BETTER, replace(setting, groups=needed), rounds)
    return {"groups": needed, "promoted": promoted}


def many_tries(groups: int, rounds: int) -> float:
    """Share of test sets on which one of TRIES challengers at the margin is promoted."""
    skill, found = skill_at(-MARGIN, BALANCED), 0
    for seed in range(rounds):
        rng = np.random.default_rng([seed, TRIES])
        asked = TestSet.draw(groups, BALANCED, rng)
        champion = asked.answered(SKILL, rng)
        tries = (is_promoted(asked.answered(skill, rng), champion, 1 + n) for n in range(TRIES))
        found += any(tries)
    return 100 * found / rounds


def creep(step: float, groups: int, rounds: int) -> float:
    """Share of runs of STEPS challengers, each worse than who serves, that end in the margin."""
    within = 0
    for seed in range(rounds):
        rng = np.random.default_rng([seed, STEPS])
        asked = TestSet.draw(groups, BALANCED, rng)
        champion = best = asked.answered(SKILL, rng)
        lost = 0.0
        for number in range(STEPS):
            challenger = asked.answered(skill_at(-lost - step, BALANCED), rng)
            earlier = Evidence(best=None if best is champion else best)
            decided = decide(challenger, champion, earlier, look=1 + number)
            if decided.decision == "promote":
                champion, lost = challenger, lost + step
                best = max(best, champion, key=_macro_f1)
        within += lost < MARGIN + 1e-9
    return 100 * within / rounds


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Planted:
    """A challenger that is broken in one way, beside the champion that it is else a copy of."""

    challenger: Evaluation
    champion: Evaluation
    evidence: Evidence = NO_EVIDENCE
    look: int = 1
    floors: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_promoted(self) -> bool:
        """Whether the gate lets it through."""
        decided = decide(
            self.challenger,
            self.champion,
            self.evidence,
            look=self.look,
            floors=self.floors,
        )
        return decided.decision == "promote"


Spoil = Callable[[Evaluation, np.random.Generator], Planted]


def _answers(change: Callable[[Evaluation, np.random.Generator], Evaluation]) -> Spoil:
    return lambda model, rng: Planted(challenger=change(model, rng), champion=model)


def _calls(change: Callable[..., NDArray[np.int64]]) -> Spoil:
    return _answers(lambda model, rng: replace(model, called=change(model.called, rng)))


def _told(evidence: Evidence) -> Spoil:
    return lambda model, _: Planted(challenger=model, champion=model, evidence=evidence)


def _flipped(share: float) -> Callable[..., NDArray[np.int64]]:
    return lambda called, rng: np.where(
        rng.random(len(called)) < share, (called + 1) % len(CLASSES), called
    )


def _tempered(temperature: float) -> Spoil:
    def change(model: Evaluation, _: np.random.Generator) -> Evaluation:
        odds = model.probabilities ** (1 / temperature)
        return replace(model, probabilities=odds / odds.sum(axis=1, keepdims=True))

    return _answers(change)


def _with_quantile(quantile: float) -> Spoil:
    def change(model: Evaluation, _: np.random.Generator) -> Evaluation:
        return replace(model, conformal_sets=conformal.sets(model.probabilities, quantile))

    return _answers(change)


def _sets_without_truth(model: Evaluation, rng: np.random.Generator) -> Evaluation:
    """One in seven sets holds another class alone."""
    other = np.eye(len(CLASSES), dtype=bool)[(model.targets + 1) % len(CLASSES)]
    is_spoilt = rng.random(len(model.targets)) < 1 / 7
    return replace(
        model, conformal_sets=np.where(is_spoilt[:, None], other, np.asarray(model.conformal_sets))
    )


def _out_of_scope(share: float) -> Spoil:
    return _answers(
        lambda model, rng: replace(
            model, ood_scores=np.where(rng.random(len(model.targets)) < share, 1.5, 0.5)
        )
    )


def _subgroup_ruined(model: Evaluation, _: np.random.Generator) -> Planted:
    """One group in eight is of a site whose images are called wrong; all others are called right.

    What it loses there it gains elsewhere, so that over all it is about as good.
    """
    is_there = np.asarray(model.groups.astype(int) % 8 == 0)
    called = np.where(is_there, (model.targets + 1) % len(CLASSES), model.targets)
    site = np.where(is_there, "north", "south")
    evidence = Evidence(columns={"site": site})
    answers = replace(model, called=called, conformal_sets=np.eye(len(CLASSES), dtype=bool)[called])
    return Planted(challenger=answers, champion=model, evidence=evidence)


def _floor_missed(model: Evaluation, rng: np.random.Generator) -> Planted:
    """Both find 5 points less of class c than its floor asks for."""
    floor = 0.8
    is_missed = (model.targets == 2) & (rng.random(len(model.targets)) > (floor - 0.05) / SKILL)
    poor = replace(model, called=np.where(is_missed, 0, model.called))
    scored = metrics.score(
        poor.probabilities, poor.targets, poor.groups, CLASSES, ("recall",), called=poor.called
    )
    poor = replace(poor, metrics=tuple(scored))
    return Planted(challenger=poor, champion=poor, floors={CLASSES[2]: floor})


def _worse_on_recent(model: Evaluation, rng: np.random.Generator) -> Planted:
    known = model.groups.astype(int) % 3 > 0
    called = np.where(known, model.called, _flipped(0.2)(model.called, rng))
    evidence = Evidence(known=np.asarray(known))
    return Planted(challenger=replace(model, called=called), champion=model, evidence=evidence)


def _worse_than_best(model: Evaluation, rng: np.random.Generator) -> Planted:
    worse = replace(model, called=_flipped(0.1)(model.called, rng))
    return Planted(challenger=worse, champion=worse, evidence=Evidence(best=model))


def _worn(model: Evaluation, _: np.random.Generator) -> Planted:
    return Planted(challenger=model, champion=model, look=problem.TEST_LOOKS + 1)


NOT_ASKED: dict[str, Spoil] = {
    "nothing, a copy of the champion": _told(NO_EVIDENCE),
    "slightly sharpened: temperature 0.6": _tempered(0.6),
    "slightly blurred: temperature 1.6": _tempered(1.6),
}
PLANTED: dict[str, Spoil] = {
    "one in ten calls flipped": _calls(_flipped(0.1)),
    "one class never called": _calls(lambda called, _: np.where(called == 2, 0, called)),
    "classes in another order": _calls(lambda called, _: (called + 1) % len(CLASSES)),
    "one class throughout": _calls(lambda called, _: np.zeros_like(called)),
    "calls by chance": _calls(lambda called, rng: rng.permutation(called)),
    "temperature 10": _tempered(10),
    "temperature 0.1": _tempered(0.1),
    "sharpened: temperature 0.4": _tempered(0.4),
    "blurred: temperature 2": _tempered(2),
    "no class in any set": _with_quantile(0.0),
    "each class in each set": _with_quantile(1.0),
    "one in seven sets of another class": _answers(_sets_without_truth),
    "out of scope always": _out_of_scope(1.0),
    "out of scope for a quarter": _out_of_scope(0.25),
    "out of scope never": _told(Evidence(strangers=Strangers(challenger=1, champion=0, n=120))),
    "a subgroup ruined": _subgroup_ruined,
    "a recall 5 points below its floor": _floor_missed,
    "one in five flipped of the newly labelled": _worse_on_recent,
    "one in ten flipped, as of who serves, but not of the best": _worse_than_best,
    "ten times slower": _told(Evidence(cost=Cost(one_image=10, batch=10, package=1))),
    "ten times slower for one image": _told(Evidence(cost=Cost(one_image=10, batch=1, package=1))),
    "twenty times larger": _told(Evidence(cost=Cost(one_image=1, batch=1, package=20))),
    "nothing, on a worn test set": _worn,
}


def planted(kinds: Mapping[str, Spoil], groups: int, rounds: int) -> dict[str, float]:
    """Share promoted of each kind of broken model."""
    found = dict.fromkeys(kinds, 0)
    for seed in range(rounds):
        rng = np.random.default_rng([seed, 7])
        champion = TestSet.draw(groups, BALANCED, rng).answered(SKILL, rng)
        for name, spoil in kinds.items():
            found[name] += spoil(champion, rng).is_promoted
    return {name: 100 * count / rounds for name, count in found.items()}


def measured(rounds: int) -> dict[str, Any]:
    """Every figure; the first four are those that are asked for."""
    few = max(1, rounds // FEWER)
    settings = [Setting(groups=n, shares=s) for n in (80, 300) for s in (BALANCED, RARE)]

    def each(change: float, look: int = 1) -> dict[str, float]:
        asked = [replace(setting, look=look) for setting in settings]
        return {str(setting): at_change(change, setting, rounds) for setting in asked}

    at_margin, better = each(-MARGIN), each(BETTER)
    broken = planted(PLANTED, 300, few)
    needs = [
        Setting(groups=300, shares=shares, look=look)
        for look in (1, 10)
        for shares in (BALANCED, RARE)
    ]
    return {
        "planted": len(broken),
        "planted_promoted": sum(share > 0 for share in broken.values()),
        "at_margin": max(at_margin.values()),
        "better_by_3": better[str(settings[0])],
        "at_margin_of": at_margin,
        "equal_of": each(0.0),
        "better_by_3_of": better,
        "better_by_3_at_look_10_of": each(BETTER, look=10),
        "better_by_3_with_the_groups_needed": {
            setting.about: stated(setting, rounds) for setting in needs
        },
        "one_of_thirty": many_tries(300, few),
        "creep_by_1": creep(0.01, 300, few),
        "creep_by_2": creep(0.02, 300, few),
        "planted_kinds": broken,
        "not_asked_kinds": planted(NOT_ASKED, 300, few),
    }


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench gate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    told = measured(options.rounds)
    if options.json:
        print(json.dumps(told, indent=1))
        return
    few = max(1, options.rounds // FEWER)
    print(f"per cent promoted, of {options.rounds} simulations each; from `one of` on, of {few}")
    for name, asked in (
        ("at_margin_of", f"; asked at most {ASKED_AT_MARGIN}"),
        ("equal_of", ""),
        ("better_by_3_of", f"; asked at least {ASKED_POWER} at the stated number, 80 groups"),
        ("better_by_3_at_look_10_of", ""),
    ):
        shown = ", ".join(f"{setting} {share:.1f}" for setting, share in told[name].items())
        print(f"{name.removesuffix('_of')}: {shown}{asked}")
    for about, needed in told["better_by_3_with_the_groups_needed"].items():
        print(
            f"better by 3, {about}: {needed['groups']} groups are said to be needed, "
            f"{needed['promoted']:.1f} are promoted with them; asked about {ASKED_POWER}"
        )
    print(f"one of {TRIES} at the margin: {told['one_of_thirty']:.0f}; asked at most 5")
    for step in (1, 2):
        share = told[f"creep_by_{step}"]
        print(f"{STEPS} steps of {step} points end within the margin: {share:.0f}; asked 95")
    for name, share in told["planted_kinds"].items():
        print(f"planted, {name}: {share:.0f}; asked 0")
    for name, share in told["not_asked_kinds"].items():
        print(f"beside, {name}: {share:.0f}")
