"""Steps of an erasure: erase and prove it, and name the models that learned from the images."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

from neuro.erasure import erase as erasing
from neuro.erasure.erase import ErasureRequest, ErasureResult
from neuro.erasure.proof import Installation
from neuro.errors import NeuroError
from neuro.lake.lake import Lake
from neuro.models import load_weights, package_manifest
from neuro.models.trained_on import UNKNOWN, TrainedOn
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from tasks.load import start_weights
from tasks.record import artifacts, journals, registry, tracking
from tasks.runtime import settings
from tasks.runtime.steps import step

_INTERNAL = ("digests", "contents", "readable")  # of a result: not told

_log = getLogger(__name__)


@step(name="erase")
def erase(lake: Lake, request: ErasureRequest, also: Sequence[Problem] = ()) -> ErasureResult:
    """Erase the images everywhere neuro keeps them, and search for them afterwards.

    also: problems of other datasets that hold one of them, where no built-in one reads these.
    """
    here = settings.load()
    installation = Installation(
        home=here.home,
        inbox=here.inbox,
        landing=here.landing,
        endpoint=here.s3_endpoint,
        deadline_s=here.s3_deadline_s,
        drop_page=tracking.drop_page,
    )
    by_dataset = readers([*also, request.problem])
    done = erasing.erase(lake, request, installation, by_dataset, datetime.now(UTC))
    journals.export_head(lake, "erasure")
    _log.info("%d images erased, %d files still hold some", len(done.sample_ids), len(done.found))
    return done


@step(name="name models")
def models(done: ErasureResult) -> dict[str, Any]:
    """The result, with the packages, files of weights and MLflow runs that learned from an image.

    They are named, not deleted: weights are not the images, and whether they may stay is for a
    person to decide. Named is what was trained on a release that held an image, and what holds the
    hash of one, also from another lake; and of packages that hold no hashes each whose data cannot
    be read any more: of a branch that was dropped nobody can tell what it held.
    """
    packages = []
    for path in sorted(registry.packages().glob("*/model.json")):
        pin = json.loads(path.read_text(encoding="utf-8"))["pin"]
        told = _learned_from(path.parent / package_manifest.WEIGHTS, done.digests)
        is_of_it = pin["content_hash"] not in done.readable if told is None else told
        if is_of_it or pin["content_hash"] in done.contents:
            packages.append(str(path.parent))
    kept = sorted(path for path in start_weights.folder().rglob("*") if path.is_file())
    weights = [str(path) for path in kept if _learned_from(path, done.digests)]
    runs = tracking.runs_on(done.contents)
    facts = {k: v for k, v in asdict(done).items() if k not in _INTERNAL}
    facts |= {"is_proven": not done.found, "packages": packages}
    facts |= {"weights": weights, "mlflow_runs": runs}
    # Counts alone: what was erased shall not be named in Prefect, which forgets nothing.
    shown = {**facts, **done.removed}
    del shown["removed"]
    rows = [{"what": name, "figure": _count(value)} for name, value in shown.items()]
    artifacts.label_run(name=f"erase {len(done.sample_ids)} images")
    artifacts.table("erasure", rows, "Erasure")
    return facts


def readers(given: Sequence[Problem]) -> dict[str, Problem]:
    """A problem for each dataset: the last given one, and the built-in ones for the others."""
    known = [problems.load(name) for name in problems.builtin_names()]
    return {each.dataset: each for each in [*known, *given]}


def _learned_from(path: Path, digests: Sequence[str]) -> bool | None:
    """Whether a file of weights holds the hash of one of these; None where nobody knows."""
    trainings: Sequence[TrainedOn] = ()
    with contextlib.suppress(NeuroError):  # damaged: then it cannot be asked
        trainings = load_weights.trainings(path)
    if any(each.holds([digests]).any() for each in trainings):
        return True
    return None if not trainings or UNKNOWN in trainings else False


def _count(value: Any) -> Any:
    return value if isinstance(value, bool | int | str) else len(value)
