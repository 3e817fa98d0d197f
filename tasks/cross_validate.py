"""What several folds say together: every sample but those of the test split, answered once."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from neuro.evaluation import evaluate
from neuro.sample import Metric
from neuro.training.config import TrainConfig
from tasks.load.release_data import Loaded
from tasks.record import tracking
from tasks.record_figures import Shown, run_tags, show
from tasks.runtime.steps import step
from tasks.train import Trained

SHOWN = ("accuracy", "macro_f1", "auroc")


@step(name="pool folds")
def pool(loaded: Loaded, trained: Sequence[Trained], config: TrainConfig) -> dict[str, Any]:
    """Pooled metrics with intervals by group, the mean and deviation over folds, and each fold."""
    release, n = loaded.release, len(trained)
    found = evaluate.pool([one.validation for one in trained])
    over = _over([one.validation.metrics for one in trained])
    title = f"{n} folds of {release.name}"
    tags = {**run_tags(loaded), "splitting": f"{n} folds"}
    with tracking.run(loaded.problem.name, f"{config.model}, {title}", tags) as run:
        tracking.log_data(run, release)
        tracking.log_params(run, asdict(config) | {"folds": n})
        tracking.log_metrics(run, found.split, found.metrics)
        figures = {f"{name}_{k}": v for name, each in over.items() for k, v in each.items()}
        tracking.log_values(run, figures, step=0)
        show(run, found, Shown(title=title, is_synthetic=release.is_synthetic))
    return {
        "run_id": run.run_id,
        "release": release.name,
        "folds": n,
        "epochs": config.epochs,
        "seconds": round(sum(one.seconds for one in trained), 2),
        "pooled": [asdict(metric) for metric in found.metrics],
        "over_folds": over,
        "baselines": {
            name: _over([_named(one, name) for one in trained])
            for name in (baseline.name for baseline in trained[0].beside)
        },
        "each": [
            {"splitting": one.package.card.splitting, "package": str(one.package.folder)}
            | {m.name: round(m.value, 4) for m in one.validation.metrics if m.name in SHOWN}
            for one in trained
        ],
    }


def _named(one: Trained, name: str) -> Sequence[Metric]:
    return next(baseline.metrics for baseline in one.beside if baseline.name == name)


def _over(folds: Sequence[Sequence[Metric]]) -> dict[str, dict[str, float]]:
    """Mean and deviation of what every fold has."""
    values = [{metric.name: metric.value for metric in metrics} for metrics in folds]
    return {
        name: {"mean": fmean(some), "deviation": stdev(some)}
        for name in SHOWN
        if len(some := [fold[name] for fold in values if name in fold]) == len(values)
    }
