"""A release without what a model, or the weights it starts from, was trained on already."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.evaluation import seen
from neuro.lake import releases
from neuro.models import load_weights, package
from neuro.models.trained_on import UNKNOWN, TrainedOn
from neuro.sample import SPLITS
from tasks.load import start_weights
from tasks.load.models import Model
from tasks.load.release_data import Loaded

UNTOLD = "its weights do not say what they were trained on, which may be what is scored here"

_log = getLogger(__name__)


def by(loaded: Loaded, trainings: Sequence[TrainedOn]) -> NDArray[np.bool_]:
    """Which samples these trainings saw, or a twin or a member of the group of, (n,) bool."""
    return seen.rows(
        loaded.lake,
        loaded.release,
        loaded.samples,
        loaded.frames,
        trainings,
        loaded.problem.groups.twin_cosine,
    )


def elsewhere(loaded: Loaded, model: Model) -> tuple[TrainedOn, ...]:
    """What a model was trained on, less its own training where that was on a release of this lake.

    There the splits and the releases say what it has seen.
    """
    trainings = model.package.trained_on()
    return trainings[1:] if _is_of_this_lake(loaded, model) else trainings


def for_models(loaded: Loaded, *models: Model) -> Loaded:
    """The release without what any of the models saw of its val, calibration and test parts."""
    names = {f"model {model.version[:12]}": model for model in models}
    trainings = {name: model.package.trained_on() for name, model in names.items()}
    untold = [name for name, model in names.items() if is_untold(loaded, model)]
    return _without(loaded, trainings, untold)


def for_weights(loaded: Loaded, weights: Path | None) -> Loaded:
    """The same for a file of weights that a training is to start from."""
    if weights is None:
        return loaded
    name, trainings = "its start", load_weights.trainings(weights)
    return _without(loaded, {name: trainings}, [name] if _has_unknown(trainings) else [])


def is_untold(loaded: Loaded, model: Model) -> bool:
    """Whether nobody knows what a model or its start was trained on.

    A package that is too old to say is known by its release, if that is one of this lake, and by
    the file that it started from, if that is still kept. One that is not too old says it, or it
    was taken out.
    """
    trainings, card = model.package.trained_on(), model.package.card
    if trainings:
        return _has_unknown(trainings)
    if card.format_version >= package.SAYS_TRAINED_ON:
        return True
    if not _is_of_this_lake(loaded, model):
        return True
    start = start_weights.folder() / card.weights_sha256
    return bool(card.weights_sha256) and not (
        start.is_file() and not _has_unknown(load_weights.trainings(start))
    )


def trainings(loaded: Loaded, weights: Path | None) -> tuple[TrainedOn, ...]:
    """What a training on this release sees, and then what the weights it starts from saw."""
    earlier = load_weights.trainings(weights) if weights else ()
    return (
        seen.training(loaded.lake, loaded.release, loaded.samples, loaded.frames),
        *earlier,
    )


def require(loaded: Loaded, *splits: str) -> None:
    """Raise ConfigError for a split of which nothing is left."""
    for split in splits:
        if split in loaded.emptied:
            raise ConfigError(
                f"nothing of {split} is left to score on: {loaded.left_out}; deliver images that "
                "were not trained on, or take another model to score, or to start from"
            )


def _without(
    loaded: Loaded, trainings: Mapping[str, Sequence[TrainedOn]], untold: Sequence[str]
) -> Loaded:
    """The release without what was seen, and what is to be said of it. trainings: by name."""
    frames = loaded.frames
    dropped = {name: by(loaded, those) for name, those in trainings.items()}
    notes = [
        f"{name}: {left_out}"
        for name, rows in dropped.items()
        if (left_out := seen.left_out(frames, rows))
    ]
    notes += [f"{name}: {UNTOLD}" for name in untold]
    if not notes:
        return loaded
    _log.warning("; ".join(notes))
    left = replace(frames, splits=seen.splits_without(frames, np.any([*dropped.values()], axis=0)))
    emptied = [
        split for split in SPLITS if len(frames.labelled(split)) and not len(left.labelled(split))
    ]
    return replace(
        loaded,
        frames=left,
        left_out="; ".join(filter(None, (loaded.left_out, *notes))),
        emptied=(*loaded.emptied, *emptied),
    )


def _is_of_this_lake(loaded: Loaded, model: Model) -> bool:
    view = releases.view_of(loaded.lake, loaded.release)
    here = {each.content_hash for each in releases.history(view, loaded.problem.dataset)}
    return model.package.card.pin["content_hash"] in here


def _has_unknown(trainings: Sequence[TrainedOn]) -> bool:
    return UNKNOWN in trainings
