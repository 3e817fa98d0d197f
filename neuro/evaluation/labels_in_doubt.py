"""Labels that every judge contradicts: a list for a reader, who settles them.

A judge gives probabilities for samples whose labels it has not learnt from: the network of a fold,
the pictures that look similar (the judge behind a passport's suspects), a member of an ensemble. A
label is in doubt if

* the most probable class of *every* judge is another one, and
* the first judge is confident of that: it gives the class that it says at least the mean
  probability that it gives this class to the samples labelled so. This is the threshold of
  confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021, arXiv:1911.00068); it is found
  for each class, so that a class the judge is unsure of does not fill the list.

The list is ranked by the mean probability of the label over the judges, lowest first. One judge
alone is wrong too often: a hard image is contradicted by one, a wrong label by all. A judge that
has learnt nothing contradicts most labels, so the share it agrees with stands beside the list.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuro.duplicates import twins
from neuro.errors import ConfigError, DamagedError, PackageError
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.models import typed_json
from neuro.passport import label_errors
from neuro.sample import Metric

if TYPE_CHECKING:  # it opens graphs, and an ingest reads lists alone
    from neuro.evaluation.evaluate import Evaluation

NETWORK, SIMILAR = "network", "similar pictures"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """What one judge says of a sample, and the probability that it gives the label."""

    judge: str
    says: str
    of_label: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DoubtfulLabel:
    """A label that every judge contradicts. instead: the class that they support most."""

    sample_id: str
    label: str
    instead: str
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelsInDoubt:
    """The labels of a release that a run of folds doubts, worst first.

    n: samples that were judged. judges: their names, in the order of the opinions. agreement: the
    share of all labels that each agrees with. run_id: of MLflow, "" for none.
    """

    problem: str
    release: str
    content_hash: str
    folds: int
    model: str
    run_id: str
    n: int
    judges: tuple[str, ...]
    agreement: tuple[float, ...]
    labels: tuple[DoubtfulLabel, ...]

    @property
    def who(self) -> str:
        """Who doubts them, in words."""
        return f"the {self.folds} folds of {self.problem} ({self.model})"

    def rows(self, suspects: Collection[str]) -> list[dict[str, Any]]:
        """Each label with who doubts it. suspects: samples whose label the passport suspects."""
        return [
            {
                "sample_id": each.sample_id,
                "problem": self.problem,
                "label": each.label,
                "instead": each.instead,
                "doubted_by": ", ".join(self.judges),
                "is_suspect": each.sample_id in suspects,
            }
            for each in self.labels
        ]

    def counts(self) -> list[dict[str, Any]]:
        """How many of each label are said to be what instead, the most frequent first."""
        pairs = Counter((each.label, each.instead) for each in self.labels)
        return [
            {"label": label, "said instead": instead, "n": n}
            for (label, instead), n in pairs.most_common()
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is kept of a release's doubted labels. damaged: what is wrong with a file, and where."""

    lists: tuple[LabelsInDoubt, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """What judges say of samples whose own labels none of them has learnt from.

    targets: (n,) class index. probabilities: (m, n, k), of each judge, in the order of ``classes``.
    """

    judges: tuple[str, ...]
    classes: tuple[str, ...]
    sample_ids: NDArray[np.str_]
    targets: NDArray[np.int64]
    probabilities: Floats

    def __post_init__(self) -> None:
        shape = (len(self.judges), len(self.sample_ids), len(self.classes))
        if not self.judges or self.probabilities.shape != shape:
            raise ConfigError(
                f"probabilities {self.probabilities.shape} must be one (n, k) table for each of "
                f"at least one judge, here {shape}"
            )
        if not np.isfinite(self.probabilities).all():
            raise ConfigError("probabilities hold NaN or infinity; a judge's outputs are broken")

    @property
    def agreement(self) -> tuple[float, ...]:
        """The share of the labels that each judge agrees with."""
        shares = (self.probabilities.argmax(axis=2) == self.targets).mean(axis=1)
        return tuple(round(float(share), 4) for share in shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class SideBySide:
    """A figure of all samples, and of those whose label is in doubt left out; None where neither.

    The second is no better estimate: samples were left out because the network contradicts them.
    """

    name: str
    all_labels: Metric | None
    without: Metric | None


def find(answers: Answers) -> tuple[DoubtfulLabel, ...]:
    """The labels that every judge contradicts, the first one confidently; worst first."""
    says = answers.probabilities.argmax(axis=2)  # (m, n)
    n = len(answers.targets)
    of_label = answers.probabilities[:, np.arange(n), answers.targets]
    is_contradicted = (says != answers.targets).all(axis=0)
    first = answers.probabilities[0]
    is_confident = first[np.arange(n), says[0]] >= _confident(first, answers.targets)[says[0]]
    rows = np.flatnonzero(is_contradicted & is_confident)
    support = answers.probabilities.mean(axis=0)
    support[np.arange(n), answers.targets] = -1  # never the label itself, which none of them says
    worst = rows[np.lexsort((rows, of_label.mean(axis=0)[rows]))]
    return tuple(
        DoubtfulLabel(
            sample_id=str(answers.sample_ids[row]),
            label=answers.classes[answers.targets[row]],
            instead=answers.classes[support[row].argmax()],
            opinions=tuple(
                Opinion(
                    judge=judge,
                    says=answers.classes[says[number, row]],
                    of_label=round(float(of_label[number, row]), 4),
                )
                for number, judge in enumerate(answers.judges)
            ),
        )
        for row in worst.tolist()
    )


def network_says(pooled: "Evaluation") -> Floats:
    """By which it calls a sample, (n, k): a rare label is not in doubt for being rare."""
    return pooled.probabilities if pooled.balanced is None else pooled.balanced


def judged(lake: Lake, release: Release, pooled: "Evaluation") -> Answers:
    """The answers of the folds' networks, of their members, and of the similar pictures."""
    ids = pooled.sample_ids.tolist()
    looks = twins.vectors([bytes(row) for row in images.thumbnails(lake, release, ids)])
    similar = label_errors.judge(looks, pooled.targets, pooled.groups, len(pooled.classes))
    members = () if pooled.members is None else tuple(pooled.members)
    return Answers(
        judges=(NETWORK, *(f"member {n}" for n, _ in enumerate(members, 1)), SIMILAR),
        classes=pooled.classes,
        sample_ids=pooled.sample_ids,
        targets=pooled.targets,
        probabilities=np.stack([network_says(pooled), *members, similar]),
    )


def side_by_side(
    pooled: "Evaluation", labels: Sequence[DoubtfulLabel], names: Sequence[str]
) -> list[SideBySide]:
    """Figures with and without the samples whose label is in doubt."""
    keep = ~np.isin(pooled.sample_ids, [label.sample_id for label in labels])
    rest = pooled.take(keep) if keep.any() else None
    return [
        SideBySide(
            name=name, all_labels=pooled.metric(name), without=rest.metric(name) if rest else None
        )
        for name in names
    ]


def to_json(found: LabelsInDoubt) -> bytes:
    """The whole list as a file."""
    return json.dumps(asdict(found), indent=1).encode()


def known(paths: Sequence[Path], content_hash: str) -> Known:
    """The lists in some files that are of this very content. A damaged file is named, not raised.

    What follows from a list is read by a person, so nothing else has to wait for it to be mended.
    """
    lists, damaged = [], []
    for path in paths:
        try:
            found = read(path)
        except DamagedError as error:
            damaged.append(str(error))
            continue
        if found.content_hash == content_hash:
            lists.append(found)
    return Known(lists=tuple(lists), damaged=tuple(damaged))


def read(path: Path) -> LabelsInDoubt:
    """The list in a file. Raises DamagedError naming the file, the field and what it must be."""
    try:
        facts = typed_json.parse(path.read_bytes(), str(path))
        found: LabelsInDoubt = typed_json.read(LabelsInDoubt, facts, f"{path}: ")
    except PackageError as error:
        reason = str(error).partition("; fetch")[0]
        raise DamagedError(
            f"a list of labels in doubt is damaged: {reason}; make it again with "
            "`neuro train --folds`, or remove the file"
        ) from error
    return found


def _confident(probabilities: Floats, targets: NDArray[np.int64]) -> Floats:
    """Mean probability of each class among the samples labelled so, (k,); inf where there are none.

    probabilities: (n, k) of one judge.
    """
    k = probabilities.shape[1]
    own = probabilities[np.arange(len(targets)), targets]
    n_labelled = np.bincount(targets, minlength=k)
    sums = np.bincount(targets, weights=own, minlength=k)
    thresholds: Floats = np.divide(sums, n_labelled, out=np.full(k, np.inf), where=n_labelled > 0)
    return thresholds
