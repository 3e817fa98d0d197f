"""Score a model on the held-out test split and count the look."""

from typing import Any

from prefect import flow

from neuro import problem as problems
from tasks import data, models, runners
from tasks import evaluate as steps


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

    Returns package, split, looks, metrics with intervals, and the look-up baseline beside them.
    """
    question = problems.load(problem)
    loaded = data.load(data.open_lake(lake), question, release)
    return steps.evaluate(loaded, models.load(question, model), split).as_dict()
