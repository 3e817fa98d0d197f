"""What a service answers by: for each problem the version that serves by the journal."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from logging import getLogger

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NeuroError, UnknownNameError
from neuro.images import preprocess
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import images, journal, releases
from neuro.lake.lake import Lake
from neuro.prediction import choose_runtime
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.promotion import serving
from neuro.promotion.serving import Change
from neuro.synthetic import phantom
from tasks.load import champions, engines, models
from tasks.load.models import Model
from tasks.record import registry, remembered, tracking
from tasks.record.registry import ModelVersion

_PLACE = "serving"
_SEED = 20261130

_log = getLogger(__name__)


def state(lake: Lake) -> int:
    """The number of the journal's last line: while it stays, nothing was promoted."""
    return journal.head(lake).number


def promoted(lake: Lake) -> list[str]:
    """The problems that the journal knows a promotion of, or the registry a champion."""
    kinds = (serving.DECISION, serving.APPROVAL, serving.ROLLBACK)
    named = {entry.body["problem"] for entry in journal.entries(lake, *kinds)}
    with tracking.server_errors():
        named |= {each.model.problem for each in registry.versions()}
    return sorted(named)


def last_change(lake: Lake, problem: str) -> Change | None:
    """The change by which a version came to serve, None before the first promotion."""
    changed = serving.changes(lake, problem)
    return changed[-1] if changed else None


def version(lake: Lake, problem: str) -> ModelVersion | None:
    """The version that serves; an alias that was moved by hand is reported and not followed.

    Raises ServerError where MLflow is away.
    """
    with tracking.server_errors():
        return champions.serving_version(lake, problem)


def opened(lake: Lake, registered: ModelVersion, engine: str) -> Model:
    """A version in the fastest engine for single images, verified. Raises what it cannot be."""
    with tracking.server_errors():
        model = models.of_version(registered)
    return engines.for_requests(model, engine, examples(lake, model))


def earlier(lake: Lake, problem: str) -> ModelVersion | None:
    """The version that served before the one that serves, None without one."""
    last = last_change(lake, problem)
    if last is None or not last.previous:
        return None
    with tracking.server_errors():
        return registry.find(problem, last.previous)


def shadow(problem: str, name: str, champion: Model) -> ModelVersion | None:
    """The version that answers beside the champion, by alias or number; None without one."""
    try:
        with tracking.server_errors():
            found = registry.find(problem, name)
    except UnknownNameError:
        return None
    return None if found.digest == champion.package.digest else found


def opened_shadow(version: ModelVersion) -> Model:
    """It, on one thread, verified."""
    with tracking.server_errors():
        return models.of_version(version)


def examples(lake: Lake, model: Model) -> Callable[[], NDArray[np.uint8]]:
    """Some frames of what the model will be asked about: of its release, else drawn."""
    card = model.package.card

    def frames() -> NDArray[np.uint8]:
        n = choose_runtime.FRAMES
        try:
            release = releases.find(lake, card.dataset)
            ids = [sample.sample_id for sample in releases.samples(lake, release)]
            some = ids[:: max(1, len(ids) // n)][:n]
            stored = [raw for _, raw in images.undamaged(lake, release, some)]
        except NeuroError:
            stored = []
        found = [preprocess.frame(raw, card.preprocess) for raw in stored]
        return np.stack([*found, *_drawn(card.preprocess, n - len(found))])

    return frames


def problem_of(model: Model, files: Sequence[Problem]) -> Problem | None:
    """The problem that a model answers: one of these, or by its name; None where none is known."""
    name = model.package.card.problem
    for each in files:
        if each.name == name:
            return each
    try:
        return problems.load(name)
    except NeuroError:
        return None


def remember(registered: ModelVersion) -> None:
    """Keep which version served last, for a start without the lake or the registry."""
    text = json.dumps(asdict(registered), sort_keys=True)
    if remembered.get(_PLACE, registered.problem) != text:
        remembered.put(_PLACE, registered.problem, text)


def last_known() -> list[ModelVersion]:
    """What served last on this machine, a version of each problem."""
    found = []
    for text in remembered.everything(_PLACE).values():
        try:
            found.append(ModelVersion(**json.loads(text)))
        except (ValueError, TypeError) as error:
            _log.warning("what is remembered of a champion is left out: %s", error)
    return found


def _drawn(spec: PreprocessSpec, n: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(_SEED)
    drawn = [phantom.draw(kind % phantom.KINDS, rng, spec.size_px) for kind in range(max(0, n))]
    return [np.repeat(each[..., None], spec.channels, axis=2) for each in drawn]
