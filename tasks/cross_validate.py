"""What several folds say together: every sample but those of the test split, answered once."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from neuro.evaluation import evaluate
from neuro.training.config import TrainConfig
from tasks import labels_in_doubt
from tasks.load.release_data import Loaded
from tasks.record import tracking
from tasks.record_figures import Shown, run_tags, show
from tasks.runtime.steps import step
from tasks.train import Trained


@step(name="pool folds")
def pool(loaded: Loaded, trained: Sequence[Trained], config: TrainConfig) -> dict[str, Any]:
    """Pooled metrics with intervals by group, the mean and deviation over folds, and each fold."""
    release, n_folds = loaded.release, len(trained)
    leaky = [fold for fold in trained if fold.package.card.leak]
    pooled = evaluate.pool([fold.validation for fold in trained])
    spread = evaluate.over_folds([fold.validation.metrics for fold in trained])
    title = f"{n_folds} folds of {release.name}"
    leak = "; ".join(f"{fold.package.card.splitting}: {fold.package.card.leak}" for fold in leaky)
    tags = {**run_tags(loaded), "splitting": f"{n_folds} folds"} | ({"leak": leak} if leak else {})
    with tracking.run(loaded.problem.name, f"{config.model}, {title}", tags) as run:
        tracking.log_data(run, release)
        tracking.log_params(run, asdict(config) | {"folds": n_folds})
        tracking.log_metrics(run, pooled.split, pooled.metrics)
        for name, values in spread.items():
            named = {f"{name}_{kind}": value for kind, value in values.items()}
            tracking.log_values(run, named, step=0)
        shown = Shown(title=title, is_synthetic=release.is_synthetic, note=leak)
        show(run, pooled, shown)
        doubts = labels_in_doubt.find(loaded, pooled, run, n_folds, config.model)
        labels_in_doubt.show(run, doubts, shown.said)
    names = [baseline.name for baseline in trained[0].beside]
    return {
        "run_id": run.run_id,
        "release": release.name,
        "folds": n_folds,
        "epochs": config.epochs,
        "seconds": round(sum(fold.seconds for fold in trained), 2),
        "pooled": [asdict(metric) for metric in pooled.metrics],
        "absent": list(pooled.absent),
        "labels_in_doubt": doubts.as_dict(),
        "leak": leak,
        "over_folds": spread,
        "baselines": {
            name: evaluate.over_folds([fold.baseline(name) for fold in trained]) for name in names
        },
        "each": [_fold(fold) for fold in trained],
    }


def _fold(fold: Trained) -> dict[str, Any]:
    package = fold.package
    metrics = {
        m.name: round(m.value, 4)
        for m in fold.validation.metrics
        if m.name in evaluate.SHOWN_OF_FOLDS
    }
    absent = {"absent": list(fold.validation.absent)} if fold.validation.absent else {}
    return {
        "splitting": package.card.splitting,
        "package": str(package.folder),
        **metrics,
        **absent,
    }
