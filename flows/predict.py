"""Score in batches what the model has not scored yet."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import predict as steps
from tasks import predict_files
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
    source: str = "",
    out: str | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Predict the samples of a release, or only those that entered with the release ``window``.

    shadow: a challenger that answers the same after it; its answers are kept in the lake alone.
    engine: what runs the network, default the fastest that calls images the same. source: a
    release, or files that need not be in a lake, whose answers go to ``out`` alone.
    Returns n, model_version, engine, images_per_s, decisions and the Parquet file of predictions,
    of cases the same where the problem has a rule, and with a shadow how far the two agree.
    """
    if predict_files.is_files(source):
        asked = predict_files.request(source, out, engine)
        predict_files.require_alone({"release": release, "window": window, "shadow": shadow})
        of_files = problems.load(problem)
        serving = models.load(of_files, model, release_data.open_lake(lake))
        return predict_files.predict(serving, asked, of_files)
    wanted = steps.request(source, release, out, engine)
    question, store = problems.load(problem), release_data.open_lake(lake)
    serving = models.load(question, model, store)
    challenger = shadows.load(question, serving, shadow)
    loaded = release_data.load(store, serving.problem_as_trained(question), wanted.release)
    predicted = steps.predict(loaded, serving, wanted, window)
    if challenger is None:
        return predicted
    return predicted | {"shadow": shadows.answer(loaded, serving, challenger, window, engine)}
