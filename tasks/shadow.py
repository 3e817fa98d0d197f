"""A challenger that answers beside the champion, without being shown."""

from collections.abc import Mapping
from dataclasses import asdict
from logging import getLogger
from typing import Any

import numpy as np

from neuro.errors import ConfigError, NeuroError
from neuro.prediction import agreement, stored
from neuro.prediction.agreement import Said
from neuro.problems.problem import Problem
from tasks import predict
from tasks.load import models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime.steps import step

# Where nothing was asked.
NOTHING: Mapping[str, Any] = {"n": 0, "agreement": None, "flips": {}, "decisions": {}}

_log = getLogger(__name__)


def load(problem: Problem, champion: Model, name: str | None) -> Model | None:
    """The challenger of that name, None without one; refused before anything is scored.

    Raises ConfigError for the champion itself and for a model of another problem, and what
    ``models.load`` raises.
    """
    if not name:
        return None
    challenger = models.load(problem, name)
    if challenger.package.digest == champion.package.digest:
        raise ConfigError(
            f"--shadow {name} is the model that answers, version {champion.version[:12]}; name a "
            "challenger, or leave --shadow out"
        )
    if challenger.package.card.problem != problem.name:
        raise ConfigError(
            f"--shadow {name} is a model of problem {challenger.package.card.problem}, and this is "
            f"{problem.name}; name a challenger of {problem.name}"
        )
    return challenger


@step(name="shadow")
def answer(
    loaded: Loaded, champion: Model, challenger: Model, window: str | None, engine: str
) -> dict[str, Any]:
    """Let the challenger answer what the champion was asked, and say how far they agree.

    Its answers are stored under its own version, and written to no file. Where it fails, that is
    said; the champion's answers stay as they are, and so do its own until then.
    """
    try:
        decoded = release_data.decoded_for(loaded, challenger.problem_as_trained(loaded.problem))
        scored = predict.score(decoded, challenger, window, engine)
    except NeuroError as error:
        _log.warning("the shadow %s failed: %s", challenger.version[:12], error)
        return {"model_version": challenger.version, "failed": str(error)}
    ids = set(decoded.frames.sample_ids[scored.wanted].tolist())
    found = _compared(loaded, champion.version, challenger.version, ids)
    told = {"model_version": challenger.version, "predicted": scored.n_new, "failed": ""}
    return {**told, **(found or NOTHING)}


def compared(loaded: Loaded, challenger: Model, champion: Model | None) -> dict[str, Any] | None:
    """What stored predictions of both say of the same samples of the release; None without any."""
    if champion is None:
        return None
    ids = set(loaded.frames.sample_ids.tolist())
    return _compared(loaded, champion.version, challenger.version, ids)


def _compared(
    loaded: Loaded, champion: str, challenger: str, sample_ids: set[str]
) -> dict[str, Any] | None:
    said = (_said(loaded, version, sample_ids) for version in (champion, challenger))
    found = agreement.compare(*said)
    if found is None:
        return None
    facts = asdict(found)
    title = f"{challenger[:12]} beside {champion[:12]}: called the same in {found.agreement:.3f}"
    artifacts.table("shadow", _rows(facts), f"{title} of {found.n} samples")
    return facts


def _said(loaded: Loaded, version: str, sample_ids: set[str]) -> Said:
    columns = ["sha256", "predicted", "decision"]
    rows = stored.rows(loaded.lake, loaded.problem, version, columns).to_pylist()
    chosen = [row for row in rows if row["sha256"] in sample_ids]
    ids, predicted, decisions = ([row[name] for row in chosen] for name in columns)
    return Said(
        sample_ids=np.array(ids, dtype=np.str_),
        predicted=np.array(predicted, dtype=np.str_),
        decisions=np.array(decisions, dtype=np.str_),
    )


def _rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"what": what, "champion -> challenger": change, "samples": n}
        for what in ("flips", "decisions")
        for change, n in facts[what].items()
    ]
