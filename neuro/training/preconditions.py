"""Whether frames may be trained on: no group in two splits, every class and every split there."""

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, SplitOverlapError, TrainingError
from neuro.evaluation import metrics
from neuro.problems.problem import Problem
from neuro.sample import NO_SPLIT
from neuro.training.config import TrainConfig

_READ = ("train", "val", "calibration")


def check(frames: Frames, problem: Problem, config: TrainConfig) -> NDArray[np.int64]:
    """How many labelled training images each class has, (k,), where the frames can be trained on.

    Raises SplitOverlapError for a group in two splits, TrainingError for a class without a training
    image or a split without a labelled sample, and ConfigError for frames of another preprocess
    than the problem's and for a batch of more than there are.
    """
    if frames.preprocess_hash != problem.preprocess.sha256:
        raise ConfigError(
            f"these frames are of preprocess {frames.preprocess_hash[:12]}, problem {problem.name} "
            f"asks for {problem.preprocess.sha256[:12]}; build them again with frames.build"
        )
    _check_groups(frames)
    counts = np.bincount(frames.targets[frames.labelled("train")], minlength=len(problem.classes))
    _check_classes(counts, problem)
    _check_splits(frames)
    if config.batch_size > counts.sum():
        raise ConfigError(
            f"batch_size {config.batch_size} is more than the {counts.sum()} labelled images of "
            "the train split; choose a smaller --batch-size, or ingest more images"
        )
    return counts.astype(np.int64)


def absent_classes(frames: Frames, problem: Problem) -> list[str]:
    """A sentence for each split that is read in training and lacks a class."""
    over = {
        split: metrics.over_classes(frames.targets[frames.labelled(split)], problem.classes)
        for split in _READ
    }
    return [
        f"split {split} has labelled images of {classes}: nothing measured on it says anything of "
        "the others; ingest more of them"
        for split, classes in over.items()
        if classes
    ]


def _check_groups(frames: Frames) -> None:
    """Refuse a group in two splits: its test images would have been learnt by heart.

    The source's own test split alone may share groups with the others; that is said beside it.
    """
    is_given = frames.splitting.kind == "given"
    used = ~np.isin(frames.splits, [NO_SPLIT, "test"] if is_given else [NO_SPLIT])
    pairs = np.unique(np.stack([frames.groups[used], frames.splits[used]]), axis=1)
    groups, splits = pairs  # each pair once, by group
    repeated = np.flatnonzero(groups[1:] == groups[:-1])
    if len(repeated):
        row = repeated[0]
        raise SplitOverlapError(
            f"group {groups[row]} is in the splits {splits[row]} and {splits[row + 1]} "
            f"({len(repeated)} such groups); "
            "ingest the release again so that the split is drawn by group"
        )


def _check_splits(frames: Frames) -> None:
    """Refuse a split that is read in training and has no labelled sample."""
    empty = [split for split in _READ if not len(frames.labelled(split))]
    if empty:
        n_groups = len(np.unique(frames.groups[frames.targets >= 0]))
        raise TrainingError(
            f"split {' and '.join(empty)} has no labelled sample under --split {frames.splitting}: "
            f"the release has {n_groups} groups with a label, and "
            f"{', '.join(_READ)} need at least one each; ingest more groups or import labels"
        )


def _check_classes(counts: NDArray[np.int64], problem: Problem) -> None:
    if counts.sum() == 0:
        raise TrainingError(
            "no labelled image in the train split; import labels or ingest a labelled delivery"
        )
    absent = [name for name, n in zip(problem.classes, counts, strict=True) if n == 0]
    if absent:
        raise TrainingError(
            f"problem {problem.name} has no training image of {', '.join(absent)}; ingest some, "
            "or leave the class out in a problem file of your own"
        )
