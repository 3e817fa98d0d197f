"""One answer of a model as pages show it: picture, maps of where it looked, similar cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuro.evaluation.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """A training image that the model sees alike. cosine: of the two embeddings."""

    sample_id: str
    label: str
    cosine: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Maps:
    """Overlays of one picture, None where nothing speaks so. against: name of the other class."""

    called: bytes | None
    instead: bytes | None
    against: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What stands beside the answers, by sample_id; an answer without is shown without.

    pictures: small. what is lacking is damaged in the lake.
    """

    pictures: Mapping[str, bytes]
    maps: Mapping[str, Maps] = field(default_factory=dict)
    nearest: Mapping[str, Sequence[Near]] = field(default_factory=dict)


def nearest_said(shown: Shown) -> str:
    """What is said of the training images beside the answers; "" where there are none."""
    if not shown.nearest:
        return ""
    return (
        "Then the training images of other groups that the model sees most alike, among those that "
        "were scored; a near case is no diagnosis."
    )


def case(evaluation: Evaluation, row: int) -> dict[str, Any]:
    """One answer as plain values."""
    probabilities, sets = evaluation.probabilities[row], evaluation.conformal_sets
    chosen = [] if sets is None else np.array(evaluation.classes)[sets[row]].tolist()
    called, likeliest = int(evaluation.called[row]), int(probabilities.argmax())
    return {
        "sample_id": str(evaluation.sample_ids[row]),
        "label": evaluation.classes[int(evaluation.targets[row])],
        "says": evaluation.classes[called],
        "sure": float(evaluation.confidence[row]),
        "more_probable": evaluation.classes[likeliest] if likeliest != called else "",
        "of_label": float(probabilities[evaluation.targets[row]]),
        "set": chosen,
    }
