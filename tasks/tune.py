"""The step that searches for a recipe: each trial is a training that may be stopped early."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from logging import getLogger
from typing import Any

from neuro.training import tuning
from neuro.training.config import TrainConfig
from neuro.training.tuning import Attempt, Progress, Search, Space, Trial
from tasks import train as steps
from tasks.load.release_data import Loaded
from tasks.record import artifacts, tracking
from tasks.record.tracking import Run
from tasks.record_figures import run_tags
from tasks.runtime.steps import step
from tasks.train import Setup

_log = getLogger(__name__)


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
        result = {
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
        return {"tuning": result}


def choose(
    loaded: Loaded, config: TrainConfig, setup: Setup, trials: int | None, fixed: Collection[str]
) -> Tuning:
    """The recipe as given, or the best of so many trials around it; fixed fields stay."""
    if trials is None:
        return Tuning(config=config)
    return search(loaded, config, setup, trials, fixed)


@step(name="tune")
def search(
    loaded: Loaded,
    config: TrainConfig,
    setup: Setup,
    n_trials: int,
    fixed: Collection[str] = (),
) -> Tuning:
    """Try so many recipes on train and val; the other splits are not read.

    A search that was killed is continued, within the trial that was under way, and one that has
    ended by more trials. Where it has more than are asked for, all of them count. The best trial's
    checkpoint stays: training goes on from its last epoch.
    """
    space = tuning.space_for(loaded.frames, loaded.problem, config, fixed, setup.weights)
    plan = Search(
        frames=loaded.frames,
        problem=loaded.problem,
        config=config,
        space=space,
        weights=setup.weights,
        machine=setup.machine,
        checkpoint_of=lambda recipe: steps.checkpoint_of(loaded, recipe, setup),
    )
    progress = Progress.load(plan.path)
    # Of all stored trials the best alone has a checkpoint, so none of them may be left out.
    n_trials = max(n_trials, len(progress.trials))
    name = f"tune {config.model} on {loaded.release.name} ({n_trials} trials)"
    _log.info(
        "%s: %s, around the recipe; %d are done", name, ", ".join(space), len(progress.trials)
    )
    with tracking.run(loaded.problem.name, name, run_tags(loaded), again=progress.run_id) as run:
        if run.run_id != progress.run_id:
            ranges = {f"searched_{name}": f"{r.low:g} to {r.high:g}" for name, r in space.items()}
            tracking.log_data(run, loaded.release)
            tracking.log_params(run, asdict(config) | {"machine": str(setup.machine)} | ranges)
        progress = replace(progress, run_id=run.run_id)
        while len(progress.trials) < n_trials:
            progress = _next_trial(loaded, plan, progress, of=n_trials)
            tracking.log_values(run, _figures(progress.trials), step=len(progress.trials))
        _show(run, progress.trials, title=name, is_synthetic=loaded.release.is_synthetic)
    trials = progress.trials
    best = tuning.best(trials)
    _log.info("trial %d is the best, and is trained to its end: %s", best.number, _values(best))
    return Tuning(config=config.changed(best.values), run_id=run.run_id, space=space, trials=trials)


def _next_trial(loaded: Loaded, plan: Search, progress: Progress, *, of: int) -> Progress:
    """Train one more trial, in an MLflow run below that of the search, and keep it."""
    attempt = Attempt(plan.config, plan.space, progress.trials)
    name = f"trial {attempt.number}"
    _log.info("%s of %d: %s", name, of, _values(attempt))
    tags = run_tags(loaded) | {"mlflow.parentRunId": progress.run_id}
    with tracking.run(loaded.problem.name, name, tags, again=progress.open_id) as run:
        replace(progress, open_id=run.run_id).save(plan.path)
        tracking.log_data(run, loaded.release)
        tracking.log_params(run, asdict(attempt.config))
        trial = plan.train(attempt, lambda epoch: tracking.record_epoch(run, epoch, {}))
        tracking.tag(run, {"state": trial.state, "note": trial.note})
    kept = plan.keep(progress, trial)
    score = f"{trial.value:.3f}" if trial.value is not None else trial.note or "under the median"
    best = tuning.leader(kept.trials)
    so_far = f"; the best is trial {best.number} with {best.value:.3f}" if best else ""
    _log.info("%s %s, %d epochs: %s%s", name, trial.state, len(trial.scores), score, so_far)
    return kept


def _figures(trials: Sequence[Trial]) -> dict[str, float]:
    """What the last trial says on the page of the search."""
    best, value = tuning.leader(trials), trials[-1].value
    figures = {"macro_f1": value, "best_macro_f1": best.value if best else None}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _values(trial: Trial | Attempt) -> str:
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
    caption = f"{title}: the best is chosen on val, where its score flatters it"
    caption += " (synthetic images)" if is_synthetic else ""
    artifacts.table("tuning", rows, caption)
    figure = tuning.draw(trials, title=title, synthetic=is_synthetic)
    tracking.log_figure(run, figure, "tuning_history", caption)
    tracking.tag(
        run, {"best_trial": str(best.number), **{k: repr(v) for k, v in best.values.items()}}
    )
