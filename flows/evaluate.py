"""Score a model on the held-out test split and count the look."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import baselines, featurize
from tasks import evaluate as steps
from tasks.load import models, release_data
from tasks.runtime import runners


@flow(
    name="evaluate",
    flow_run_name="evaluate {problem} {model}",
    task_runner=runners.ConfiguredRunner(),
)
def evaluate(
    problem: str = "brain",
    model: str = "challenger",
    release: str | None = None,
    split: str = "test",
    lake: str | None = None,
) -> dict[str, Any]:
    """Evaluate a model: champion, challenger, a version number, or a package folder.

    The splits are those it was trained with. Returns package, split, looks, metrics with intervals,
    train, validation and test side by side, and the baselines beside them.
    """
    question = problems.load(problem)
    scored = models.load(question, model)
    store = release_data.open_lake(lake)
    known = scored.problem_as_trained(question)
    loaded = release_data.load(store, known, release, scored.splitting)
    loaded = steps.without_seen(loaded, scored)
    steps.check(loaded, scored, split)
    featurize.describe(loaded)
    return steps.evaluate(loaded, scored, split, baselines.score(loaded, (split,))).as_dict()
