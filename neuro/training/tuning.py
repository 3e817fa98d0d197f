"""Which recipe is tried next, and whether it is worth going on: TPE and medians, by Optuna."""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, TrainingError
from neuro.evaluation.figures import sign
from neuro.models import ensemble
from neuro.problems.problem import Problem
from neuro.training import checkpoint, distributed
from neuro.training import config as train_config
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine, seed_of
from neuro.training.trainer import Epoch, Trainer

_log = logging.getLogger(__name__)
VERSION = "search-1"  # raise it when the same trials would be followed by another

_AROUND = {"learning_rate": (1 / 8, 4.0), "weight_decay": (1 / 10, 4.0)}  # times the recipe's
_BETWEEN = {"label_smoothing": (0.0, 0.2), "mixup": (0.0, 0.4), "grow_from": (0.5, 1.0)}
_DRAWN = 5  # trials before TPE proposes; the first is the recipe itself, the others are drawn
_JUDGES = 3  # complete trials before one is stopped by their median

Space = Mapping[str, FloatDistribution]


def check(trials: int | None, folds: int, model: str) -> None:
    """Raise ConfigError for a search that cannot be; None is for none."""
    if trials is None:
        return
    if ensemble.is_ensemble(model):
        raise ConfigError(
            f"--tune {trials} does not go with an ensemble ({model}): tune one member by --model, "
            "then give what it found to all of them"
        )
    if trials < 2:
        raise ConfigError(
            f"--tune must be at least 2 trials, got {trials}: the first is the preset's own recipe"
        )
    if folds:
        raise ConfigError(
            f"--tune {trials} does not go with --folds {folds}: each fold would choose a recipe of "
            "its own. Tune first, then give what it found to --folds"
        )


def space(config: TrainConfig, fixed: Collection[str], *, size_px: int) -> Space:
    """What is searched around a recipe, by field; the recipe itself lies within.

    fixed: fields that stay as they are. A rate of 0 stays 0, and views do not grow where frames of
    ``size_px`` are too small for it. Raises ConfigError if nothing is left.
    """
    ranges = {}
    for name, (low, high) in _AROUND.items():
        value = getattr(config, name)
        if value:
            ranges[name] = FloatDistribution(low * value, high * value, log=True)
    for name, (low, high) in _BETWEEN.items():
        value = getattr(config, name)
        ranges[name] = FloatDistribution(min(low, value), max(high, value))
    smallest = config.changed({"grow_from": ranges["grow_from"].low})
    left_out = set(fixed)
    if train_config.side(smallest, 1, size_px) == size_px:
        left_out.add("grow_from")
    searched = {name: range_ for name, range_ in ranges.items() if name not in left_out}
    if not searched:
        raise ConfigError(
            f"--tune has nothing left to search: {', '.join(ranges)} are given; leave one out"
        )
    for name, range_ in searched.items():  # both ends must be a recipe
        config.changed({name: range_.low}).changed({name: range_.high})
    return searched


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """How one recipe did. number: from 1. values: of the fields that are searched.

    scores: macro-F1 on val after each epoch. value: that of the weights it kept, None where it was
    stopped. note: why it could not go on, "" where it could.
    """

    number: int
    values: Mapping[str, float]
    scores: Sequence[float]
    value: float | None = None
    note: str = ""

    @property
    def state(self) -> str:
        """Whether it came to its end: "complete" or "pruned"."""
        return "pruned" if self.value is None else "complete"


class Attempt:
    """The trial after some others, which decide it together with the recipe's seed."""

    def __init__(self, config: TrainConfig, space: Space, past: Sequence[Trial]) -> None:
        """The first is the recipe itself, so that a search never ends below it on val."""
        # Seeded for each trial, so that a search that was killed goes on as if it had not been.
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # we say ourselves how trials end
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(
                n_startup_trials=_DRAWN, seed=seed_of(config.seed, len(past))
            ),
            # Rates that rise first look bad first: nobody is judged in the first third.
            pruner=optuna.pruners.MedianPruner(_JUDGES, n_warmup_steps=config.epochs // 3 + 1),
        )
        study.add_trials([_for_optuna(trial, space) for trial in past])
        if not past:
            study.enqueue_trial({name: getattr(config, name) for name in space})
        self._trial = study.ask(dict(space))
        self._scores: list[float] = []
        self.number = len(past) + 1
        self.values = dict(self._trial.params)
        self.config = config.changed(self.values)

    def add(self, score: float) -> None:
        """Take the macro-F1 on val of the next epoch."""
        self._scores.append(score)
        self._trial.report(score, len(self._scores))

    def is_worse(self) -> bool:
        """Whether the best score so far is under the others' median, and epochs are left."""
        return len(self._scores) < self.config.epochs and self._trial.should_prune()

    def complete(self) -> Trial:
        """The trial after its last epoch; its value is the score of the weights that it keeps."""
        value = max(self._scores) if self.config.patience else self._scores[-1]
        return replace(self.pruned(), value=value)

    def pruned(self, note: str = "") -> Trial:
        """The trial when it was stopped. note: why it could not go on, where it could not."""
        scores = tuple(self._scores)
        return Trial(number=self.number, values=self.values, scores=scores, note=note)


def leader(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial of the highest value, of equals the first; None without one."""
    complete = [trial for trial in trials if trial.value is not None]
    return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)


def best(trials: Sequence[Trial]) -> Trial:
    """The leader of trials that have ended; raises TrainingError where none was complete."""
    trial = leader(trials)
    if trial is None:
        raise TrainingError(
            f"none of {len(trials)} trials ended with a finite loss; lower --learning-rate "
            f"({trials[-1].note})"
        )
    return trial


def _for_optuna(trial: Trial, space: Space) -> FrozenTrial:
    # Without scores TPE ranks a pruned trial last, where one that came to no number belongs.
    scores = {} if trial.note else dict(enumerate(trial.scores, 1))
    return create_trial(
        state=TrialState.PRUNED if trial.value is None else TrialState.COMPLETE,
        value=trial.value,
        params=dict(trial.values),
        distributions=dict(space),
        intermediate_values=scores,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What a killed search is continued from: the trials that have ended, in one file.

    run_id: where the search is recorded. open_id: where the trial that is under way is.
    """

    run_id: str = ""
    open_id: str = ""
    trials: tuple[Trial, ...] = ()

    def save(self, path: Path) -> None:
        """Replace what was kept; a kill at any moment leaves the older state or this one."""
        with checkpoint.replacing(path) as stream:
            stream.write(json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> "Progress":
        """What was kept; nothing where there is none that is whole."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            trials = tuple(Trial(**trial) for trial in content.pop("trials"))
            return cls(**content, trials=trials)
        except (OSError, ValueError, TypeError, KeyError):
            return cls()


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What all trials share. checkpoint_of: where a training by a recipe keeps its state."""

    frames: Frames
    problem: Problem
    config: TrainConfig
    space: Space
    weights: Path | None
    machine: Machine
    checkpoint_of: Callable[[TrainConfig], Checkpoint]

    @property
    def path(self) -> Path:
        """Of the progress of this very search; beside its trials' checkpoints, and as mortal."""
        training = self.checkpoint_of(self.config)
        ranges = {name: [range_.low, range_.high] for name, range_ in self.space.items()}
        versions = [VERSION, optuna.__version__]
        key = checkpoint.key_of(training=training.key, space=ranges, search=versions)
        name = f"{self.frames.content_hash[:16]}-{key[:16]}"
        return training.path.parents[1] / name / "search.json"

    def train(self, attempt: Attempt, on_epoch: Callable[[Epoch], None]) -> Trial:
        """Train by the recipe of an attempt, and say how it ended.

        It is complete after its last epoch. It is pruned where the other trials do better, or where
        its loss is no longer finite: the recipe is bad then, and the search goes on.
        on_epoch: is given each epoch.
        """
        trainer = distributed.trainer(
            self.frames, self.problem, attempt.config, self.weights, self.machine
        )
        try:
            for epoch in trainer.epochs(self.checkpoint_of(attempt.config)):
                on_epoch(epoch)
                attempt.add(epoch.macro_f1)
                if attempt.is_worse():
                    return attempt.pruned()
        except TrainingError as error:
            reason, _, _samples = str(error).partition(";")  # a tracker is told of no sample
            return attempt.pruned(note=reason)
        return attempt.complete()

    def keep(self, progress: Progress, trial: Trial) -> Progress:
        """Add a trial that has ended, on the disk too.

        Of the trials' checkpoints that of the best alone stays: its training goes on from there.
        """
        kept = replace(progress, open_id="", trials=(*progress.trials, trial))
        best = leader(kept.trials)
        for other in (leader(progress.trials), trial):
            if other is not None and other is not best:
                self.checkpoint_of(self.config.changed(other.values)).remove()
        kept.save(self.path)
        return kept


def space_for(
    frames: Frames,
    problem: Problem,
    config: TrainConfig,
    fixed: Collection[str],
    weights: Path | None,
) -> Space:
    """What is searched; views grow only where the model reads other sizes than the frames'."""
    size_px = problem.preprocess.size_px
    ranges = space(config, fixed, size_px=size_px)
    if "grow_from" not in ranges or config.grow_from < 1:
        return ranges
    smallest = config.changed({"grow_from": ranges["grow_from"].low})
    try:
        Trainer(frames, problem, smallest, weights, Machine(device="cpu").fabric())
    except ConfigError as error:
        _log.info("views do not grow in this search: %s", error)
        return space(config, {*fixed, "grow_from"}, size_px=size_px)
    return ranges


def draw(trials: Sequence[Trial], *, title: str, synthetic: bool) -> Figure:
    """The score of each trial in their order, and the highest of a complete one so far.

    Raises TrainingError without a complete trial.
    """
    chosen = best(trials)
    figure = Figure(figsize=(8.5, 4), layout="constrained")
    axes = figure.add_subplot()
    complete = [t for t in trials if t.value is not None]
    pruned = [t for t in trials if t.value is None and not t.note]
    lost = [t.number for t in trials if t.note]
    numbers, values = [t.number for t in complete], [t.value or 0.0 for t in complete]
    # The line of the best so far goes on to the last trial.
    steps = [*numbers, trials[-1].number], np.maximum.accumulate([*values, values[-1]])
    axes.step(*steps, where="post", color="tab:blue", label="best so far")
    axes.plot(numbers, values, "o", color="tab:blue", label="complete")
    if pruned:
        numbers, values = [t.number for t in pruned], [max(t.scores) for t in pruned]
        axes.plot(numbers, values, "x", color="grey", label="pruned, its best epoch")
    for number in lost:
        label = "no finite loss" if number == lost[0] else ""
        axes.axvline(number, color="tab:red", linestyle=":", label=label)
    place, text = (chosen.number, chosen.value or 0.0), f"trial {chosen.number}: {chosen.value:.3f}"
    axes.annotate(text, place, (0, 8), textcoords="offset points", ha="center")
    axes.margins(x=0.08, y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial; the first is the recipe as given", ylabel="macro-F1 on val")
    axes.set_title(title)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    sign(figure, "chosen on val, where its score flatters it", synthetic=synthetic)
    return figure
