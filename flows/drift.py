"""Compare recent images and answers with the champion's reference, report, and say what to do."""

from typing import Any

from prefect import flow

from monitoring.verdicts import DriftConfig
from neuro.problems import problem as problems
from tasks import audit, featurize
from tasks import drift as steps
from tasks.load import models, release_data
from tasks.runtime import runners


@flow(name="drift", flow_run_name="drift {problem}", task_runner=runners.ConfiguredRunner())
def drift(
    problem: str = "brain",
    window: str | None = None,
    days: float = 7.0,
    model: str = "champion",
    lake: str | None = None,
) -> dict[str, Any]:
    """Judge what entered with the release ``window``, or what was predicted in the last days.

    Returns window, reference, verdict, reason, signals, the path of the report, and audit: how many
    images of the window were put on the work list, to measure the model by. A verdict ``retrain``
    is stored first, then sent as an event that starts the retrain deployment.
    """
    question, store = problems.load(problem), release_data.open_lake(lake)
    serving = models.load(question, model, store)
    loaded = release_data.load(store, serving.problem_as_trained(question))
    featurize.describe(loaded)
    compared = steps.observe(loaded, serving, window, days)
    config = DriftConfig()
    verdict = steps.judge(compared, config)
    n_asked = audit.draw(loaded, serving, compared, verdict, config, None if window else days)
    verdict = audit.weigh(loaded, serving, compared, verdict, config)
    path = steps.report(loaded, serving, compared, verdict)
    told = steps.remember(loaded, serving, verdict, path, problems.reference(problem))
    return told | {"audit": n_asked}
