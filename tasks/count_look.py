"""The one door to the labels of the test split: each reading by a model is counted."""

from datetime import UTC, datetime
from typing import Literal

from neuro.evaluation import looks
from neuro.evaluation.looks import Looks
from tasks.load.models import Model
from tasks.load.release_data import Loaded


def count(
    loaded: Loaded, model: Model, *, read_by: Literal["evaluation", "drift", "explanation"], n: int
) -> Looks:
    """Count a look at n labels of the test split of a release's frames."""
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
        },
        now=datetime.now(UTC),
    )
