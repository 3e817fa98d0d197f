"""Compare recent images and answers with the champion's reference, report, and say what to do."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow

from neuro.errors import ConfigError
from neuro.problems import problem as problems
from tasks import audit, drift_files, featurize, predict_files
from tasks import drift as steps
from tasks import replay as again
from tasks.load import envelopes, models, release_data
from tasks.runtime import runners


@flow(name="drift", flow_run_name="drift {problem}", task_runner=runners.ConfiguredRunner())
def drift(
    problem: str = "brain",
    window: str | None = None,
    days: float = 7.0,
    model: str = "champion",
    current: str | None = None,
    replay: bool = False,
    lake: str | None = None,
) -> dict[str, Any]:
    """Judge what entered with the release ``window``, or what was answered in the last days.

    window: also a window of days that was judged before, by its name. current: the same, or files
    that are in no lake, judged once without a trace. replay: each window of so many days up to now
    is judged again, likewise.

    Returns window, reference, verdict, reason, signals, the path of the report, and audit: how many
    images of the window were put on the work list, to measure the model by. The envelope's
    ``[drift]`` says how sure to be. A verdict ``retrain`` is stored first, then sent as an event
    that starts the retrain deployment. With ``current`` the verdict's own fields, images and
    groups; with ``replay`` replayed, verdicts and alarms.
    """
    if sum((window is not None, current is not None, replay)) > 1:
        raise ConfigError("give one of --window, --current and --replay")
    question, store = problems.load(problem), release_data.open_lake(lake)
    serving = models.load(question, model, store)
    loaded = release_data.load(store, serving.problem_as_trained(question))
    featurize.describe(loaded)
    policy = envelopes.of_problem(question).drift
    if replay:
        return again.past(loaded, serving, days, policy, datetime.now(UTC))
    if current is not None:
        if predict_files.is_files(current):
            return drift_files.judge(loaded, serving, current, question, policy)
        return again.current(loaded, serving, current, policy)
    compared = steps.observe(loaded, serving, window, days, policy)
    verdict = steps.judge(compared, policy, steps.harmless(loaded, serving, compared))
    n_asked = 0
    if window is None or not compared.days:  # of days that are over nobody is asked anew
        period = None if window else days
        n_asked = audit.draw(loaded, serving, compared, verdict, policy, period)
    verdict = audit.weigh(loaded, serving, compared, verdict, policy)
    verdict = steps.confirm(loaded, serving, compared, verdict, policy)
    page, reference = steps.page(loaded, compared), problems.reference(problem)
    told = steps.remember(loaded, serving, compared, verdict, page, reference)
    steps.report(loaded, serving, compared, verdict)
    return told | {"audit": n_asked}
