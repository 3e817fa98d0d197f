"""Score in batches what the model has not scored yet."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import predict as steps
from tasks.load import models, release_data
from tasks.runtime import runners


@flow(
    name="predict",
    flow_run_name="predict {problem} {model}",
    task_runner=runners.ConfiguredRunner(),
)
def predict(
    problem: str = "brain",
    model: str = "champion",
    release: str | None = None,
    window: str | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Predict the samples of a release, or only those that entered with the release ``window``.

    Returns n, model_version, images_per_s, decisions and the Parquet file of predictions.
    """
    question = problems.load(problem)
    serving = models.load(question, model)
    loaded = release_data.load(
        release_data.open_lake(lake), serving.problem_as_trained(question), release
    )
    return steps.predict(loaded, serving, window)
