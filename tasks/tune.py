"""The step that searches for a recipe: each trial is a training that may be stopped early."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

import optuna

from neuro.errors import ConfigError, TrainingError
from neuro.training import checkpoint, distributed, tuning
from neuro.training.checkpoint import Checkpoint
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from neuro.training.trainer import Trainer
from neuro.training.tuning import Attempt, Progress, Space, Trial
from tasks import train as steps
from tasks.load.release_data import Loaded
from tasks.record import artifacts, tracking
from tasks.record.tracking import Run
from tasks.record_figures import run_tags
from tasks.runtime.steps import step
from tasks.train import Setup

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is asked for. trials: None for no search. held: fields that stay as they are."""

    trials: int | None = None
    held: Collection[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """The recipe to train, and the trials that it was chosen from, if there were any."""

    config: TrainConfig
    run_id: str = ""
    space: Space | None = None
    trials: Sequence[Trial] = ()

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro train --tune N --json`` adds."""
        if not self.space:
            return {}
        best = tuning.best(self.trials)
        told = {
            "run_id": self.run_id,
            "chosen_on": "macro-F1 on val",
            "searched": {name: [range_.low, range_.high] for name, range_ in self.space.items()},
            "best": {"number": best.number, "value": best.value, "params": dict(best.values)},
            "trials": [
                {"number": t.number, "state": t.state, "value": t.value, "epochs": len(t.scores)}
                | {"params": dict(t.values), "note": t.note}
                for t in self.trials
            ],
        }
        return {"tuning": told}


def choose(loaded: Loaded, config: TrainConfig, plan: Plan, setup: Setup) -> Tuning:
    """The recipe as given, or the best of a search around it."""
    if plan.trials is None:
        return Tuning(config=config)
    return search(loaded, config, plan, setup)


@step(name="tune")
def search(loaded: Loaded, config: TrainConfig, plan: Plan, setup: Setup) -> Tuning:
    """Try so many recipes on train and val; the other splits are not read.

    A search that was killed is continued, within the trial that was under way, and one that has
    ended by more trials. The best trial's checkpoint stays: training goes on from its last epoch.
    """
    release, trials = loaded.release, plan.trials or 0
    space = _space(loaded, config, plan.held, setup.weights)
    over = _Search(loaded=loaded, config=config, space=space, setup=setup)
    kept = Progress.load(over.path)
    name = f"tune {config.model} on {release.name} ({trials} trials)"
    _log.info("%s: %s, around the recipe; %d are done", name, ", ".join(space), len(kept.trials))
    with tracking.run(loaded.problem.name, name, over.tags, again=kept.run_id) as run:
        if run.run_id != kept.run_id:
            ranges = {f"searched_{name}": f"{r.low:g} to {r.high:g}" for name, r in space.items()}
            tracking.log_data(run, release)
            tracking.log_params(run, asdict(config) | {"machine": str(setup.machine)} | ranges)
        kept = replace(kept, run_id=run.run_id)
        while len(kept.trials) < trials:
            kept = over.next(kept, of=trials)
            tracking.log_values(run, _figures(kept.trials), step=len(kept.trials))
        found = kept.trials[:trials]
        _show(run, found, title=name, is_synthetic=release.is_synthetic)
    best = tuning.best(found)
    _log.info("trial %d is the best, and is trained to its end: %s", best.number, _told(best))
    return Tuning(config=config.changed(best.values), run_id=run.run_id, space=space, trials=found)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """What all trials share."""

    loaded: Loaded
    config: TrainConfig
    space: Space
    setup: Setup

    @property
    def tags(self) -> dict[str, str]:
        tags = run_tags(self.loaded)
        return tags | ({"synthetic": "true"} if self.loaded.release.is_synthetic else {})

    @property
    def path(self) -> Path:
        """Of this very search; beside the frames, like its trials' checkpoints, and as mortal."""
        training = self._checkpoint(self.config)
        ranges = {name: [range_.low, range_.high] for name, range_ in self.space.items()}
        versions = [tuning.VERSION, optuna.__version__]
        key = checkpoint.key_of(training=training.key, space=ranges, search=versions)
        start = self.loaded.frames.content_hash[:16]
        return training.path.parents[1] / f"{start}-{key[:16]}" / "search.json"

    def next(self, kept: Progress, *, of: int) -> Progress:
        """One more trial, kept."""
        attempt = Attempt(self.config, self.space, kept.trials)
        name = f"trial {attempt.number}"
        _log.info("%s of %d: %s", name, of, _told(attempt))
        tags = {**self.tags, "mlflow.parentRunId": kept.run_id}
        with tracking.run(self.loaded.problem.name, name, tags, again=kept.open_id) as run:
            replace(kept, open_id=run.run_id).save(self.path)
            tracking.log_data(run, self.loaded.release)
            tracking.log_params(run, asdict(attempt.config))
            ended = self._train(attempt, run)
            tracking.tag(run, {"state": ended.state, "note": ended.note})
        done = replace(kept, open_id="", trials=(*kept.trials, ended))
        first = tuning.leader(done.trials)
        for trial in (tuning.leader(kept.trials), ended):
            if trial is not None and trial is not first:
                self._checkpoint(self.config.changed(trial.values)).remove()
        done.save(self.path)
        shown = (
            f"{ended.value:.3f}" if ended.value is not None else ended.note or "under the median"
        )
        so_far = f"; the best is trial {first.number} with {first.value:.3f}" if first else ""
        _log.info("%s %s, %d epochs: %s%s", name, ended.state, len(ended.scores), shown, so_far)
        return done

    def _train(self, attempt: Attempt, run: Run) -> Trial:
        """A loss that is not finite says something of the recipe, and ends nothing else."""
        loaded, config = self.loaded, attempt.config
        trainer = distributed.trainer(
            loaded.frames, loaded.problem, config, self.setup.weights, self.setup.machine
        )
        try:
            for epoch in trainer.epochs(self._checkpoint(config)):
                tracking.record_epoch(run, epoch, {})
                if attempt.is_worse(epoch.macro_f1):
                    return attempt.pruned()
        except TrainingError as error:
            return attempt.pruned(str(error).partition(";")[0])  # what follows names samples
        return attempt.complete()

    def _checkpoint(self, config: TrainConfig) -> Checkpoint:
        return steps.checkpoint_of(self.loaded, config, self.setup)


def _space(
    loaded: Loaded, config: TrainConfig, held: Collection[str], weights: Path | None
) -> Space:
    """What is searched; views grow only where the model reads other sizes than the frames'."""
    found = tuning.space(config, held, size_px=loaded.problem.preprocess.size_px)
    if "grow_from" not in found or config.grow_from < 1:
        return found
    smaller = config.changed({"grow_from": found["grow_from"].low})
    try:
        Trainer(loaded.frames, loaded.problem, smaller, weights, Machine(device="cpu").fabric())
    except ConfigError as error:
        _log.info("views do not grow in this search: %s", error)
        return tuning.space(config, {*held, "grow_from"}, size_px=loaded.problem.preprocess.size_px)
    return found


def _figures(trials: Sequence[Trial]) -> dict[str, float]:
    """What the last trial says on the page of the search."""
    first, value = tuning.leader(trials), trials[-1].value
    figures = {"macro_f1": value, "best_macro_f1": first.value if first else None}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _told(trial: Trial | Attempt) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in trial.values.items())


def _show(run: Run, trials: Sequence[Trial], *, title: str, is_synthetic: bool) -> None:
    """Every trial, in the Prefect run and in MLflow."""
    best = tuning.best(trials)
    rows = [
        {"trial": trial.number, "state": trial.state, "is_best": trial is best}
        | {"macro_f1": None if trial.value is None else round(trial.value, 4)}
        | {"epochs": len(trial.scores)}
        | {name: float(f"{value:.4g}") for name, value in trial.values.items()}
        | {"note": trial.note}
        for trial in trials
    ]
    said = f"{title}: the best is chosen on val, where its score flatters it"
    said += " (synthetic images)" if is_synthetic else ""
    artifacts.table("tuning", rows, said)
    figure = tuning.draw(trials, title=title, synthetic=is_synthetic)
    tracking.log_figure(run, figure, "tuning_history", said)
    tracking.tag(
        run, {"best_trial": str(best.number), **{k: repr(v) for k, v in best.values.items()}}
    )
