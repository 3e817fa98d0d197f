"""Steps around a retraining: claim its cause, stay inside the envelope, start from the champion."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from neuro.errors import ConfigError
from neuro.lake.lake import Lake
from neuro.models import load_weights
from neuro.models.trained_on import UNKNOWN
from neuro.problems.problem import Problem
from neuro.promotion import claims, retrain_envelope, verdict_log
from neuro.promotion.retrain_envelope import Envelope, RetrainRequest
from neuro.training import config as recipes
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import plan_training, train
from tasks.load import start_weights
from tasks.load.models import Model
from tasks.load.start_weights import StartWeights
from tasks.plan_training import Plan, Request
from tasks.record import artifacts, flow_runs
from tasks.runtime.steps import step

_log = getLogger(__name__)
MOST_FAILED = 3  # trainings for a cause, before a person has to look
_OF_PRESET = Request(changes={}, start=StartWeights())


@step(name="claim cause")
def claim(lake: Lake, problem: Problem, cause: str) -> bool:
    """Whether this run may train for the cause: one run wins, until it ends without a decision."""
    is_won = claims.claim(
        lake,
        problem.name,
        cause,
        run_id=artifacts.flow_run_id() or "",
        now=datetime.now(UTC),
        look_up=flow_runs.state,
    )
    artifacts.label_run(problem.name, "claimed" if is_won else "already-claimed")
    _log.info("cause %s: %s", cause, "claimed" if is_won else "already claimed")
    return is_won


@step(name="release claim")
def release_claim(lake: Lake, cause: str, error: BaseException) -> None:
    """Say that the training of a cause failed, so that another may try."""
    run_id = artifacts.flow_run_id() or ""
    claims.release(lake, cause, error, run_id=run_id, now=datetime.now(UTC))


def full_cause(problem: Problem, cause: str | None) -> str:
    """A cause of this problem that is unique where it must be: a month, or this run itself."""
    run_id = artifacts.flow_run_id() or ""
    return claims.full_cause(problem.name, cause, run_id=run_id, now=datetime.now(UTC))


def refusal(
    lake: Lake, problem: Problem, recipe: TrainConfig, envelope: Envelope, cause: str
) -> str | None:
    """Why this training may not start by itself, or None. What a person starts is not automatic."""
    if claims.is_by_hand(problem.name, cause):
        return None
    now = datetime.now(UTC)
    if said := verdict_log.refusal(lake, problem.name, cause, now):
        return said
    if (failed := claims.n_failed(lake, problem.name, cause)) >= MOST_FAILED:
        return (
            f"{failed} trainings for it ended without a decision; mend what `neuro journal list "
            f"failed` says, and start one by hand with `neuro retrain --problem {problem.name}`"
        )
    return retrain_envelope.check(
        envelope,
        RetrainRequest(problem=problem.name, model=recipe.model, epochs=recipe.epochs, seconds=0.0),
        started=claims.automatic_starts(lake, problem.name, other_than=cause),
        now=now,
    )


def seconds_allowed(problem: Problem, envelope: Envelope, cause: str) -> float:
    """How long the training may take; any time for one that a person started."""
    return math.inf if claims.is_by_hand(problem.name, cause) else envelope.max_seconds


def recipe(
    lake: Lake, problem: Problem, champion: Model | None, config: TrainConfig | None
) -> TrainConfig:
    """The champion's own recipe; before there is one, the default preset for the data.

    config: another recipe.
    """
    if config is not None:
        return config
    if champion is None:
        return plan_training.decide(lake, problem, None, _OF_PRESET, Machine()).recipe
    return recipes.of_card(champion.package.card.training)


def plan(lake: Lake, problem: Problem, champion: Model | None, config: TrainConfig | None) -> Plan:
    """The recipe, and the champion's file of weights where its model is trained again."""
    if champion is None:
        return plan_training.make(
            lake, problem, None, replace(_OF_PRESET, config=config), Machine()
        )
    card, chosen = champion.package.card, recipe(lake, problem, champion, config)
    weights = start_weights.of_champion(card) if chosen.model == card.architecture else None
    return plan_training.planned(problem, chosen, weights, Machine())


def setup(champion: Model | None, plan: Plan, max_seconds: float = math.inf) -> train.Setup:
    """Where the training starts from; the trials of the champion's recipe are its own, too.

    Raises ConfigError for weights that do not say what they were trained on.
    """
    if plan.weights and UNKNOWN in load_weights.trainings(plan.weights):
        raise ConfigError(
            f"the champion started from {plan.weights}, which does not say what it was trained on, "
            "so the gate would take no successor; train by hand with neuro train, without --weights"
        )
    return train.Setup(
        weights=plan.weights,
        machine=plan.machine,
        trials=champion.package.card.trials if champion else 0,
        preset=plan.preset,
        why_model=plan.why,
        max_seconds=max_seconds,
    )


def refused(cause: str, reason: str) -> dict[str, Any]:
    """The result of a retraining that did not train."""
    artifacts.label_run(reason.replace(" ", "-")[:40], name=f"retrain: {reason}")
    _log.info("cause %s: %s", cause, reason)
    return {"cause": cause, "decision": "none", "reason": reason, "gates": []}
