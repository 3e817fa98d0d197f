"""Compare recent images and answers with the champion's reference, report, and say what to do."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import audit, featurize
from tasks import drift as steps
from tasks.load import envelopes, models, release_data
from tasks.runtime import runners


@flow(name="drift", flow_run_name="drift {problem}", task_runner=runners.ConfiguredRunner())
def drift(
    problem: str = "brain",
    window: str | None = None,
    days: float = 7.0,
    model: str = "champion",
    lake: str | None = None,
) -> dict[str, Any]:
    """Judge what entered with the release ``window``, or what was answered in the last days.

    Returns window, reference, verdict, reason, signals, the path of the report, and audit: how many
    images of the window were put on the work list, to measure the model by. The envelope's
    ``[drift]`` says how sure to be. A verdict ``retrain`` is stored first, then sent as an event
    that starts the retrain deployment.
    """
    question, store = problems.load(problem), release_data.open_lake(lake)
    serving = models.load(question, model, store)
    loaded = release_data.load(store, serving.problem_as_trained(question))
    featurize.describe(loaded)
    policy = envelopes.of_problem(question).drift
    compared = steps.observe(loaded, serving, window, days, policy)
    verdict = steps.judge(compared, policy)
    n_asked = audit.draw(loaded, serving, compared, verdict, policy, None if window else days)
    verdict = audit.weigh(loaded, serving, compared, verdict, policy)
    verdict = steps.confirm(loaded, serving, compared, verdict, policy)
    path = steps.report(loaded, serving, compared, verdict)
    reference = problems.reference(problem)
    told = steps.remember(loaded, serving, compared, verdict, path, reference)
    return told | {"audit": n_asked}
