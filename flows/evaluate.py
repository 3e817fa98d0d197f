"""Score a model on the held-out test split and count the look."""

from typing import Any

from prefect import flow

from neuro.errors import ConfigError
from neuro.problems import problem as problems
from neuro.sample import EXTERNAL
from tasks import baselines, featurize
from tasks import evaluate as steps
from tasks.load import external_images, models, release_data
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
    against: str | None = None,
    stress: bool = False,
    on: str | None = None,
    lake: str | None = None,
) -> dict[str, Any]:
    """Evaluate a model: champion, challenger, a version number, or a package folder.

    The splits are those it was trained with. against: another model, which must have been trained
    with the same, to compare with; it is scored, and looks, too. stress: show it worse pictures,
    too. on: labelled images of another source in place of a split, a folder or DATASET/RELEASE; no
    look is counted. Returns package, split, looks, metrics with intervals, train, validation and
    test side by side, the baselines beside them, and the page.
    """
    if on and (against or release or split != "test"):
        raise ConfigError("--on is a source of its own: leave out --against, --release and --split")
    question, store = problems.load(problem), release_data.open_lake(lake)
    scored = models.load(question, model, store)
    other = models.load(question, against, store) if against else None
    known = scored.problem_as_trained(question)
    if on:
        with external_images.opened(store, known, on, scored) as images:
            return steps.evaluate(images, scored, EXTERNAL, is_stressed=stress).as_dict()
    loaded = release_data.load(store, known, release, scored.splitting)
    for each in filter(None, (scored, other)):
        loaded = steps.without_seen(loaded, each)
    steps.check(loaded, scored, split)
    featurize.describe(loaded)
    beside = baselines.score(loaded, (split,))
    compared = None
    if other is not None:
        decoded = release_data.decoded_for(loaded, other.problem_as_trained(question))
        compared = steps.evaluate(decoded, other, split, beside)
    return steps.evaluate(loaded, scored, split, beside, compared, stress).as_dict()
