"""The step that scores what needs no network, on the samples a network is scored on."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neuro.evaluation import baselines
from neuro.evaluation.baselines import Baseline
from neuro.lake import features
from neuro.sample import Metric
from tasks import featurize
from tasks.load.release_data import Loaded
from tasks.record import artifacts, tracking
from tasks.runtime.steps import step

Beside = Mapping[str, tuple[Baseline, ...]]  # by split
Later = Callable[[], Beside]


def later(loaded: Loaded, splits: Sequence[str]) -> Later:
    """What ``score`` returns, computed when it is first asked for, descriptors first."""

    def compute() -> Beside:
        featurize.describe(loaded)
        return score(loaded, splits)

    return functools.cache(compute)


@step(name="baselines")
def score(loaded: Loaded, splits: Sequence[str]) -> Beside:
    """Fit every baseline on the train split, and score it on each of the splits.

    The descriptors must be there. Labels of the test split are read where it is among the splits,
    and no look is counted: no model is chosen by it.
    """
    frames, lake = loaded.frames, loaded.lake
    selection = baselines.select(frames, splits)
    ids = frames.sample_ids[selection.rows].tolist()
    descriptors = features.read(lake, featurize.DESCRIPTORS, featurize.DESCRIPTORS_HASH, ids)
    inputs = baselines.read_inputs(lake, loaded.release, ids, descriptors)
    return baselines.score(frames, loaded.problem.classes, selection, inputs)


def show(
    run: tracking.Run, model: Sequence[Metric], beside: Sequence[Baseline], *, on: str, title: str
) -> None:
    """The baselines next to the model's own figures, in the Prefect run and in MLflow."""
    if not beside:
        return
    description = f"Beside baselines, {title}: a score under them is worth nothing"
    artifacts.table(f"baselines-{on}", baselines.compared(model, beside), description)
    for baseline in beside:
        tracking.log_metrics(run, f"baseline_{baseline.name}", baseline.metrics)


def as_dict(beside: Sequence[Baseline]) -> dict[str, Any]:
    """Plain values for JSON, by the name of the baseline."""
    return {baseline.name: baseline.as_dict() for baseline in beside}
