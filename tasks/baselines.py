"""The step that scores what needs no network, on the samples a network is scored on."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.dataset import metadata
from neuro.duplicates import near_duplicates
from neuro.evaluation import baselines
from neuro.evaluation.baselines import Baseline, Known
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.lake import features, images, sample_columns
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.passport import confounds
from neuro.sample import Metric
from tasks import featurize
from tasks.load.release_data import Loaded
from tasks.record import artifacts, tracking
from tasks.runtime.steps import step

Beside = Mapping[str, tuple[Baseline, ...]]  # by split
Later = Callable[[], Beside]


def later(loaded: Loaded, splits: Sequence[str]) -> Later:
    """What ``score`` returns, computed when it is first asked for, descriptors first."""

    def found() -> Beside:
        featurize.describe(loaded)
        return score(loaded, splits)

    return functools.cache(found)


@step(name="baselines")
def score(loaded: Loaded, splits: Sequence[str]) -> Beside:
    """Fit every baseline on the train split, and score it on each of the splits.

    The descriptors must be there. Labels of the test split are read where it is among the splits,
    and no look is counted: no model is chosen by it.
    """
    frames, lake, release = loaded.frames, loaded.lake, loaded.release
    asked = baselines.question(frames, splits)
    ids = frames.sample_ids[asked.rows].tolist()
    looks = (bytes(row) for row in images.thumbnails(lake, release, ids))
    small = dict(zip(ids, looks, strict=True))
    known = Known(
        looks=near_duplicates.vectors([small[sample_id] for sample_id in ids]),
        confounds=_confounds(lake, release, small, ids),
        descriptors=features.read(lake, featurize.DESCRIPTORS, featurize.DESCRIPTORS_HASH, ids),
    )
    return baselines.score(frames, loaded.problem.classes, asked, known)


def rows(model: Sequence[Metric], beside: Sequence[Baseline]) -> list[dict[str, Any]]:
    """A table of the model and of each baseline: a score under theirs is worth nothing."""
    named = [("this model", model, ""), *((b.name, b.metrics, b.reason) for b in beside)]
    return [
        {"classifier": name}
        | {what: _shown(found, what) for what in baselines.SHOWN}
        | {"n": found[0].n if found else 0, "note": reason}
        for name, found, reason in named
    ]


def show(
    run: tracking.Run, model: Sequence[Metric], beside: Sequence[Baseline], *, on: str, title: str
) -> None:
    """The baselines next to the model's own figures, in the Prefect run and in MLflow."""
    if not beside:
        return
    said = f"Beside baselines, {title}: a score under them is worth nothing"
    artifacts.table(f"baselines-{on}", rows(model, beside), said)
    for baseline in beside:
        tracking.log_metrics(run, f"baseline_{baseline.name}", baseline.metrics)


def as_dict(beside: Sequence[Baseline]) -> dict[str, Any]:
    """Plain values for JSON, by the name of the baseline."""
    return {baseline.name: baseline.as_dict() for baseline in beside}


def _shown(found: Sequence[Metric], name: str) -> str:
    return next((str(metric) for metric in found if metric.name == name), "")


def _confounds(
    lake: Lake, release: Release, small: Mapping[str, bytes], sample_ids: Sequence[str]
) -> NDArray[np.float32]:
    """What is not the picture's content, (n, d), in the order of the sample_ids."""
    samples, shapes = sample_columns.known(lake, release, sample_ids)
    told = samples["sha256"].to_pylist()
    pixels = np.frombuffer(b"".join(small[sample_id] for sample_id in told), np.uint8)
    side = THUMBNAIL_PX
    border = confounds.border(pixels.reshape(-1, side, side))
    found = confounds.matrix({**metadata.read(samples, shapes), **border})
    row = {sample_id: number for number, sample_id in enumerate(told)}
    wanted = np.array([row[sample_id] for sample_id in sample_ids], np.int64)
    return np.take(found, wanted, axis=0)
