"""Steps around a retraining: claim its cause, stay inside the envelope, start from the champion."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.promotion.retrain_policy import Envelope, Request, check, load
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import train
from tasks.load import release_data, start_weights
from tasks.load.models import Model
from tasks.record import artifacts
from tasks.record.events import CLAIM
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)
_FAILED = "failed"
_BY_HAND = "run/"


@step(name="claim cause")
def claim(lake: Lake, problem: Problem, cause: str) -> bool:
    """Whether this run may train for the cause: one run wins, unless an earlier winner failed."""
    failures = [f for f in journal.entries(lake, _FAILED) if f.body["cause"] == cause]
    body = {"cause": cause, "problem": problem.name, "flow_run_id": artifacts.flow_run_id() or ""}
    is_won = journal.record(
        lake, CLAIM, f"retrain/{cause}/{len(failures)}", body, datetime.now(UTC)
    )
    artifacts.label_run(problem.name, "claimed" if is_won else "already-claimed")
    _log.info("cause %s: %s", cause, "claimed" if is_won else "already claimed")
    return is_won


@step(name="release claim")
def release_claim(lake: Lake, cause: str, error: BaseException) -> None:
    """Say that the training of a cause failed, so that another may try."""
    failures = [f for f in journal.entries(lake, _FAILED) if f.body["cause"] == cause]
    body = {"cause": cause, "error": f"{type(error).__name__}: {error}"[:500]}
    journal.record(lake, _FAILED, f"{cause}/{len(failures)}", body, datetime.now(UTC))


def full_cause(cause: str | None, now: datetime) -> str:
    """A cause that is unique where it must be: a month, or this run itself."""
    if cause == "monthly":
        return f"month/{now:%Y-%m}"
    return cause or f"{_BY_HAND}{artifacts.flow_run_id() or now.isoformat()}"


def refusal(
    lake: Lake, problem: Problem, recipe: TrainConfig, envelope: Envelope, cause: str
) -> str | None:
    """Why this training may not start by itself, or None. What a person starts is not automatic."""
    if cause.startswith(_BY_HAND):
        return None
    request = Request(problem=problem.name, model=recipe.model, epochs=recipe.epochs, seconds=0.0)
    started = [
        entry.at
        for entry in journal.entries(lake, CLAIM)
        if entry.body["problem"] == problem.name
        and entry.body["cause"] != cause
        and not entry.body["cause"].startswith(_BY_HAND)
    ]
    last = max(started, default=None)
    return check(envelope, request, last_started=last, now=datetime.now(UTC))


def recipe(lake: Lake, problem: Problem, champion: Model | None) -> TrainConfig:
    """The champion's own training config; before there is one, the default preset for the data."""
    if champion is None:
        loaded = release_data.load(lake, problem)
        return train.recipe(loaded, "default", {}, Machine(), is_tuning=False)
    known = {entry.name for entry in fields(TrainConfig)}
    said = champion.package.card.training
    return replace(TrainConfig(), **{k: v for k, v in said.items() if k in known})


def setup(champion: Model | None, recipe: TrainConfig) -> train.Setup:
    """The champion's file of weights, where its model is trained again, and its trials."""
    if champion is None:
        return train.Setup()
    card = champion.package.card
    weights = start_weights.of_champion(card) if recipe.model == card.architecture else None
    return train.Setup(weights=weights, trials=card.trials)


def envelope() -> Envelope:
    """What automatic retraining may do here: ``envelope.toml`` in the home, or the defaults."""
    path = settings.load().home / "envelope.toml"
    return load(path) if path.is_file() else Envelope()


def refused(cause: str, reason: str) -> dict[str, Any]:
    """The result of a retraining that did not train."""
    artifacts.label_run(reason.replace(" ", "-")[:40], name=f"retrain: {reason}")
    _log.info("cause %s: %s", cause, reason)
    return {"cause": cause, "decision": "none", "reason": reason, "gates": []}
