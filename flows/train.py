"""Train a model on a release and register it as challenger."""

from pathlib import Path
from typing import Any

from prefect import flow

from neuro import problem as problems
from neuro import splitting
from neuro.training import TrainConfig
from tasks import baselines, data, runners
from tasks import folds as pooling
from tasks import train as steps


@flow(name="train", flow_run_name="train {problem}", task_runner=runners.ConfiguredRunner())
def train(  # noqa: PLR0913 - one parameter for each flag of the command
    problem: str = "brain",
    release: str | None = None,
    config: TrainConfig = TrainConfig(),  # noqa: B008 - frozen
    weights: Path | None = None,
    lake: str | None = None,
    split: str = "own",
    weights_sha256: str = "",
    folds: int = 0,
) -> dict[str, Any]:
    """Train on a pinned release (default: the current one).

    split: own, given, or such as fold-2-of-5. weights: a local file for the backbone, which must
    have weights_sha256 where that is given. Returns run_id, model, package, epochs, seconds,
    images_per_s, what was read of the weights, and validation metrics beside the baselines'.
    folds: train on each of so many instead; returns their answers pooled, their means, and each.
    """
    there, question, trained = data.open_lake(lake), problems.load(problem), []
    for divided in splitting.several(split, folds):
        loaded = data.load(there, question, release, divided)
        release = loaded.release.name
        steps.check(loaded, weights, weights_sha256)
        trained.append(steps.train(loaded, config, weights, baselines.later(loaded, ("val",))))
    return pooling.pool(loaded, trained, config) if folds else trained[0].as_dict()
