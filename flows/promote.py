"""Let the gate decide whether a challenger takes the champion's place."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import baselines, featurize
from tasks import promote as steps
from tasks.load import envelopes, models, release_data
from tasks.runtime import runners


@flow(
    name="promote",
    flow_run_name="promote {problem} {model}",
    task_runner=runners.ConfiguredRunner(),
)
def promote(
    problem: str = "brain",
    model: str = "challenger",
    release: str | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Judge a model beside the champion on the test split; each is one counted look.

    Returns decision (promote, keep or inconclusive), its gates with numbers, and the reason.
    """
    question, store = problems.load(problem), release_data.open_lake(lake)
    challenger = steps.check(models.load(question, model, store))
    champion = models.champion(store, question)
    steps.require_another(challenger, champion)
    loaded = release_data.load(store, challenger.problem_as_trained(question), release)
    loaded = steps.without_seen(loaded, challenger, champion)
    featurize.describe(loaded)
    beside = baselines.score(loaded, ("test",))
    scores = steps.evaluate(loaded, challenger, champion, beside)
    return steps.promote(loaded, *scores, envelopes.of_problem(question), cause=steps.BY_HAND)
