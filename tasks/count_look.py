"""The one door to the labels of the test split: each reading by a model is counted."""

from datetime import UTC, datetime
from typing import Literal

from neuro.evaluation import looks
from neuro.evaluation.looks import Looks
from neuro.promotion import serving
from tasks.load.models import Model
from tasks.load.release_data import Loaded


def count(
    loaded: Loaded, model: Model, *, read_by: Literal["evaluation", "drift", "explanation"], n: int
) -> Looks:
    """Count a look at n labels of the test split of a release's frames.

    Drift chooses no model, and one that served is what challengers are compared with: both are
    looks as a reference.
    """
    served = {change.version for change in serving.changes(loaded.lake, loaded.problem.name)}
    return looks.count(
        loaded.lake,
        loaded.problem,
        loaded.frames,
        package=model.package.digest,
        body={
            "model": model.version,
            "release": loaded.release.name,
            "read_by": read_by,
            "n": n,
            looks.AS_REFERENCE: read_by == "drift" or model.version in served,
        },
        now=datetime.now(UTC),
    )
