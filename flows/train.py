"""Train a model on a release and register it as challenger."""

from pathlib import Path
from typing import Any

from prefect import flow

from neuro import problem as problems
from neuro.training import TrainConfig
from tasks import data, runners
from tasks import train as steps


@flow(name="train", flow_run_name="train {problem}", task_runner=runners.ConfiguredRunner())
def train(
    problem: str = "brain",
    release: str | None = None,
    config: TrainConfig = TrainConfig(),  # noqa: B008 - frozen
    weights: Path | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Train on a pinned release (default: the current one).

    Returns run_id, model, package, epochs, seconds, images_per_s and validation metrics.
    """
    loaded = data.load(data.open_lake(lake), problems.load(problem), release)
    return steps.train(loaded, config, weights).as_dict()
