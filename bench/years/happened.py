"""What was made of one week."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Week:
    """number: from 1. accuracy: of what the serving model said, by the true labels.

    labelled: images that people labelled after the check. decision: of the retraining that the
    check started, "" for none, "refused" where the envelope held it back; why: in words.
    """

    number: int
    serves: str
    images: int
    accuracy: float
    verdict: str
    alarms: tuple[str, ...]
    reason: str
    labelled: int
    decision: str = ""
    why: str = ""
    cost: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.0
