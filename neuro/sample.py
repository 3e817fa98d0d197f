"""The nouns every part shares: frozen, typed, nothing but facts."""

from dataclasses import dataclass
from typing import Literal

SPLITS = ("train", "val", "calibration", "test")
NO_SPLIT = "none"  # an image whose twins lie in two splits belongs to no split
EXTERNAL = "external"  # what labelled images of another source are called in place of a split

Answer = Literal["answer", "abstain", "out_of_scope"]
REFUSED = "refused"  # what stands for a decision where vetting did not let the image in


def lies_in(given_split: str, split: str) -> bool:
    """Whether a source put an image into a split; "train+test" says that it lies in both."""
    return split in given_split.split("+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One image of a release, with its newest label.

    sample_id: SHA-256 of the source bytes. group_id: SHA-256 of the group's oldest member; it never
    crosses splits. given_split: the source's own, "" for none, joined by "+" where it has the same
    file in several. label: the *source* label, "" where none is known. entered: the release the
    sample came with.
    """

    sample_id: str
    group_id: str
    split: str
    given_split: str
    label: str
    source_name: str
    entered: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A named fault of a sample."""

    sample_id: str
    code: str
    message: str


FEW_GROUPS = "too few groups for an interval"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A figure with its 95 % interval by group. n: samples; groups: distinct groups.

    classes: which it is over where these samples lack one, such as "1 of 2 classes, none of b".
    mark: why its interval says little, "" where it can be believed.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    groups: int
    classes: str = ""
    mark: str = ""

    def __str__(self) -> str:
        over = f" over {self.classes}" if self.classes else ""
        if self.mark == FEW_GROUPS:
            return f"{self.value:.3f}{over} (n {self.n}, {self.mark})"
        mark = f" ({self.mark})" if self.mark else ""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{over}{mark}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a model says of one sample; the one object batch, page and service carry.

    probabilities: calibrated, in the problem's class order, summing to 1. predicted: the class it
    is called, by the probabilities before the classes' shares are put back; not always the most
    probable. conformal_set: the
    classes that cannot be excluded at the package's error rate. ood_score: how unlike the training
    images it is, in units of the calibration threshold; above 1 is out of scope.
    """

    sample_id: str
    model_version: str
    preprocess_hash: str
    probabilities: tuple[float, ...]
    predicted: str
    conformal_set: tuple[str, ...]
    ood_score: float
    decision: Answer
    reason: str
