"""Try a model on a site's own labelled images, by limits that the site set beforehand."""

from typing import Any

from prefect import flow

from neuro.problems import problem as problems
from tasks import accept as steps
from tasks.load import external_images, models, release_data
from tasks.runtime import runners, settings


@flow(
    name="accept",
    flow_run_name="accept {problem} {model}",
    task_runner=runners.ConfiguredRunner(),
)
def accept(
    source: str = "",
    problem: str = "brain",
    model: str = "champion",
    limits: str | None = None,
    site: str = "",
    who: str = "",
    lake: str | None = None,
) -> dict[str, Any]:
    """Judge a model on a folder of labelled images; nothing of it is kept but page and journal.

    Returns passed, each limit with its figure and interval, and the page.
    """
    question = problems.load(problem)
    requested = steps.request(question, source, limits, site, who or settings.user())
    store = release_data.open_lake(lake)
    tried = models.load(question, model, store)
    known = tried.problem_as_trained(question)
    with external_images.opened(store, known, source, tried) as images:
        return steps.accept(store, images, tried, requested)
