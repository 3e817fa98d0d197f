"""Score in batches what the model has not scored yet."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import predict as steps
from tasks import shadow as shadows
from tasks.load import engines, models, release_data
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
    shadow: str | None = None,
    engine: str = engines.AUTO,
    lake: str | None = None,
) -> dict[str, Any]:
    """Predict the samples of a release, or only those that entered with the release ``window``.

    shadow: a challenger that answers the same after it; its answers are kept in the lake alone.
    engine: what runs the network, default the fastest that answers the same.
    Returns n, model_version, engine, images_per_s, decisions and the Parquet file of predictions,
    and with a shadow how far the two agree.
    """
    engines.require(engine)
    question, store = problems.load(problem), release_data.open_lake(lake)
    serving = models.load(question, model, store)
    challenger = shadows.load(question, serving, shadow)
    loaded = release_data.load(store, serving.problem_as_trained(question), release)
    predicted = steps.predict(loaded, serving, window, engine)
    if challenger is None:
        return predicted
    return predicted | {"shadow": shadows.answer(loaded, serving, challenger, window)}
