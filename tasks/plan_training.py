"""What a training will be: the model, what it starts from, the side of its frames, the recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from neuro.dataset import frames
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.training import choose_model, precision
from neuro.training import config as recipes
from neuro.training.choose_model import Choice
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks.load import start_weights
from tasks.load.start_weights import StartWeights
from tasks.record import remembered
from tasks.runtime import machine_facts

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a person asks for.

    changes: by field of TrainConfig. config: a whole recipe instead. is_of_one_network: whether an
    ensemble would be refused, as by a search or a profile.
    """

    preset: str = "default"
    changes: Mapping[str, Any]
    config: TrainConfig | None = None
    start: StartWeights
    is_of_one_network: bool = False

    @property
    def leaves_the_model_open(self) -> bool:
        """Whether the preset is to choose it. A digest of no file is refused before it does."""
        start = self.start
        is_of_no_file = bool(start.sha256) and not start.pretrained
        return not (self.config or "model" in self.changes or start.file or is_of_no_file)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be trained.

    problem: with the side of its frames. weights: the file it starts from. machine: with the
    precision that is faster for this network. preset: that the recipe was made from, "" where it
    was given whole. why: the model was chosen, "" where it was given.
    """

    problem: Problem
    recipe: TrainConfig
    weights: Path | None
    machine: Machine
    preset: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is decided before anything is looked up or measured; the fields are a plan's.

    images: labelled ones of the lake's own train split, 0 where nobody counted.
    """

    recipe: TrainConfig
    start: StartWeights
    preset: str = ""
    why: str = ""
    images: int = 0


def decide(
    lake: Lake, problem: Problem, release: str | None, request: Request, machine: Machine
) -> Decision:
    """The recipe for a release (default: the current one), and what it starts from."""
    recipes.check_preset(request.preset)
    if request.config is not None:
        return Decision(recipe=request.config, start=request.start)
    start, changes, why = request.start, dict(request.changes), ""
    images = _training_images(lake, problem, release)
    if request.leaves_the_model_open:
        choice = _choice(problem, request, machine, images)
        changes = {"model": choice.model, "size_px": choice.size_px, **changes}
        start, why = replace(start, pretrained=choice.is_pretrained), choice.why
    tunes = start.pretrained or start.file is not None
    recipe = recipes.choose(request.preset, changes, images=images, kind=machine.kind, tunes=tunes)
    return Decision(recipe=recipe, start=start, preset=request.preset, why=why, images=images)


def make(
    lake: Lake, problem: Problem, release: str | None, request: Request, machine: Machine
) -> Plan:
    """Plan a training on a release (default: the current one); what was chosen, and why, is told.

    What is wrong with the request is refused here, before an image is read.
    """
    recipes.check_preset(request.preset)
    known = request.config or TrainConfig().changed(request.changes)
    is_open = request.leaves_the_model_open
    weights = None if is_open else _weights(problem, known, request.start)
    decision = decide(lake, problem, release, request, machine)
    if is_open:
        weights = _weights(problem, decision.recipe, decision.start)
    plan = planned(problem, decision.recipe, weights, machine)
    if decision.preset:
        _log.info(_told(decision, plan))
    return replace(plan, preset=decision.preset, why=decision.why)


def _told(decision: Decision, plan: Plan) -> str:
    recipe, why = plan.recipe, f" ({decision.why})" if decision.why else ""
    start = " from weights" if plan.weights else ""
    return (
        f"preset {decision.preset} for {decision.images} images on {plan.machine}: {recipe.model}"
        f"{start}{why}, {recipe.epochs} epochs of batches of {recipe.batch_size}, "
        f"{recipe.optimizer} at {recipe.learning_rate:.1e}"
    )


def _weights(problem: Problem, recipe: TrainConfig, start: StartWeights) -> Path | None:
    return start_weights.find(recipe.model, recipes.framed(problem, recipe), start)


def planned(problem: Problem, recipe: TrainConfig, weights: Path | None, machine: Machine) -> Plan:
    """The plan of a whole recipe; the precision is measured where the machine leaves it open."""
    framed = recipes.framed(problem, recipe)
    return Plan(
        problem=framed, recipe=recipe, weights=weights, machine=_settled(machine, recipe, framed)
    )


def _settled(machine: Machine, recipe: TrainConfig, problem: Problem) -> Machine:
    """What was measured once is kept: a killed training goes on in the precision it had."""
    if not precision.is_open(machine):
        return machine
    facts, side = machine_facts.facts(), problem.preprocess.size_px
    key = (
        f"{recipe.model}, {side} px, {recipe.freeze} stages frozen, {facts['env.threads']} threads "
        f"of {facts['env.processor']}, torch {facts['env.torch']}"
    )
    kept = remembered.get("precision", key)
    if kept in precision.TRIED:
        return replace(machine, precision=kept)
    settled = precision.settled(machine, recipe, problem)
    _log.info("steps of %s are taken in %s here", recipe.model, settled.precision)
    remembered.put("precision", key, settled.precision)
    return settled


def _choice(problem: Problem, request: Request, machine: Machine, images: int) -> Choice:
    return choose_model.choose(
        request.preset,
        images=images,
        channels=problem.preprocess.channels,
        kind=machine.kind,
        is_at_hand=start_weights.at_hand,
        must_be_pretrained=request.start.pretrained,
        is_of_one_network=request.is_of_one_network,
    )


def _training_images(lake: Lake, problem: Problem, release: str | None) -> int:
    """Labelled images of the lake's own train split, before a frame is made."""
    samples = releases.samples(lake, releases.find(lake, problem.dataset, release))
    is_train = np.array([sample.split == "train" for sample in samples], dtype=bool)
    return int((frames.targets(samples, problem)[is_train] >= 0).sum())
