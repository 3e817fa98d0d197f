"""Compute what is missing of a feature set."""

from typing import Any, Literal

from prefect import flow

from neuro import problem as problems
from tasks import data, models, runners
from tasks import featurize as steps


@flow(
    name="featurize",
    flow_run_name="featurize {problem} {features}",
    task_runner=runners.ConfiguredRunner(),
)
def featurize(
    problem: str = "brain",
    features: Literal["descriptors", "embedding"] = "descriptors",
    model: str = "champion",
    release: str | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Fill a feature set of a release; only images without a vector are read.

    embedding is the penultimate layer of ``model``. Returns set, images and computed.
    """
    question = problems.load(problem)
    loaded = data.load(data.open_lake(lake), question, release)
    if features == "descriptors":
        return steps.describe(loaded)
    return steps.embed(loaded, models.load(question, model))
