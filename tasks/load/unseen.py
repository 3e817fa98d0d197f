"""A release without what a model, or the weights it starts from, was trained on already."""

from dataclasses import replace
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.evaluation import seen
from neuro.lake import releases
from neuro.models import load_weights
from neuro.models.trained_on import TrainedOn
from tasks.load.models import Model
from tasks.load.release_data import Loaded

_UNKNOWN = "does not say what it was trained on, so that images it is scored on may be among it"

_log = getLogger(__name__)


def by(loaded: Loaded, model: Model) -> NDArray[np.bool_]:
    """Which samples a model or its start was trained on elsewhere, (n,) bool."""
    return _rows(loaded, model.package.trained_on())


def is_untold(loaded: Loaded, model: Model) -> bool:
    """Whether a model is of another lake, and made before packages said what they learned from."""
    view = releases.view_of(loaded.lake, loaded.release)
    here = {each.content_hash for each in releases.history(view, loaded.problem.dataset)}
    return model.package.card.pin["content_hash"] not in here and not model.package.trained_on()


def for_models(loaded: Loaded, *models: Model) -> Loaded:
    """The release without what any of the models saw of its val, calibration and test parts."""
    dropped = np.any([by(loaded, model) for model in models], axis=0)
    untold = [model for model in models if is_untold(loaded, model)]
    note = "; ".join(f"model {model.version[:12]} {_UNKNOWN}" for model in untold)
    return without(loaded, dropped, note)


def for_weights(loaded: Loaded, weights: Path | None) -> Loaded:
    """The same for a file of weights that a training is to start from."""
    if weights is None:
        return loaded
    earlier = load_weights.trainings(weights)
    note = f"the network started from weights whose file {_UNKNOWN}" if earlier is None else ""
    return without(loaded, _rows(loaded, earlier or ()), note)


def trainings(loaded: Loaded, weights: Path | None) -> tuple[TrainedOn, ...]:
    """What a training on this release sees, and what the weights it starts from saw."""
    earlier = load_weights.trainings(weights) if weights else None
    now = seen.training(loaded.lake, loaded.release, loaded.samples, loaded.frames)
    return (now, *(earlier or ()))


def without(loaded: Loaded, dropped: NDArray[np.bool_], note: str = "") -> Loaded:
    """The release with the dropped samples in no split unless they train, and what to say of it."""
    splits, left_out = seen.left_out(loaded.frames, dropped)
    notes = "; ".join(filter(None, (loaded.left_out, left_out, note)))
    if left_out or note:
        _log.warning(notes)
    return replace(loaded, frames=replace(loaded.frames, splits=splits), left_out=notes)


def require(loaded: Loaded, *splits: str) -> None:
    """Raise ConfigError where of a split nothing is left."""
    for split in splits:
        if loaded.left_out and not len(loaded.frames.labelled(split)):
            raise ConfigError(
                f"nothing of {split} is left to score on: {loaded.left_out}; deliver images that "
                "were not trained on, or take another model to score, or to start from"
            )


def _rows(loaded: Loaded, among: tuple[TrainedOn, ...]) -> NDArray[np.bool_]:
    return seen.rows(
        loaded.lake,
        loaded.release,
        loaded.samples,
        loaded.frames,
        among,
        loaded.problem.groups.twin_cosine,
    )
