"""What classifiers without a network score on the same samples: a score under theirs proves little.

All are fitted on the train split alone, seeded, on one thread, and on a bounded number of rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neuro.dataset.frames import Frames
from neuro.duplicates import neighbours
from neuro.duplicates.pose_invariants import Vectors
from neuro.evaluation import metrics
from neuro.sample import Metric

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Table = NDArray[np.float32] | Floats

LOOKUP, CONFOUNDS = "lookup", "confounds"
PIXELS, DESCRIPTORS = "pixels_pca_logistic", "descriptors_boosting"
NAMES = (LOOKUP, CONFOUNDS, PIXELS, DESCRIPTORS)
SHOWN = ("accuracy", "macro_f1")
MAX_ROWS = 12_000  # of the train split, drawn by seed
SEED = 0

_COMPONENTS, _PCA_ROWS, _PCA_CELLS = 64, 2000, 20_000_000
_BLOCK = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """Accuracy and macro-F1 of one baseline on one split; none, and the reason, where it has none.

    Names: "lookup" copies the label of the most similar training picture; "confounds" knows only
    what is not the picture's content; "pixels_pca_logistic" and "descriptors_boosting" are
    classical classifiers of the pixels and of the named scalars.
    """

    name: str
    metrics: tuple[Metric, ...] = ()
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: each figure by its name, null where there is none."""
        found = {metric.name: asdict(metric) for metric in self.metrics}
        return {name: found.get(name) for name in SHOWN} | {"reason": self.reason}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """Rows of frames: those to fit on, (m,), and those of each split to answer, (n,)."""

    train: Rows
    asked: Mapping[str, Rows]

    @property
    def rows(self) -> Rows:
        """All of them, ascending, each once."""
        return np.unique(np.concatenate([self.train, *self.asked.values()]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Known:
    """What is known of the rows of a question, in their order: (n, d) each.

    looks: unit-length thumbnails. confounds: what is not content. descriptors: named scalars.
    """

    looks: Vectors
    confounds: Table
    descriptors: Table


def question(frames: Frames, splits: Sequence[str]) -> Question:
    """Fit on labelled rows of the train split, at most MAX_ROWS; answer those of ``splits``."""
    train = frames.labelled("train")
    if len(train) > MAX_ROWS:
        chosen = np.random.default_rng(SEED).choice(len(train), MAX_ROWS, replace=False)
        train = train[np.sort(chosen)]
    return Question(train=train, asked={split: frames.labelled(split) for split in splits})


def score(
    frames: Frames, classes: Sequence[str], asked: Question, known: Known
) -> dict[str, tuple[Baseline, ...]]:
    """Fit each baseline once and score it on every split that is asked, in the order of NAMES."""
    answers = np.concatenate([np.empty(0, np.int64), *asked.asked.values()])
    train, wanted = (np.searchsorted(asked.rows, rows) for rows in (asked.train, answers))
    targets, k = frames.targets[asked.train], len(classes)
    fits: dict[str, Callable[[], Floats]] = {
        LOOKUP: lambda: look_up(known.looks[train], targets, known.looks[wanted], k),
        CONFOUNDS: lambda: boost(known.confounds[train], targets, known.confounds[wanted], k),
        PIXELS: lambda: project(frames.pixels, (asked.train, answers), targets, k),
        DESCRIPTORS: lambda: boost(known.descriptors[train], targets, known.descriptors[wanted], k),
    }
    found: dict[str, list[Baseline]] = {split: [] for split in asked.asked}
    with threadpool_limits(1):
        for name in NAMES:
            reason = _why_not(name, targets)
            given = np.empty((0, k)) if reason or not len(answers) else fits[name]()
            start = 0
            for split, rows in asked.asked.items():
                some = given[start : start + len(rows)]
                found[split].append(_scored(name, some, (frames, rows), classes, reason))
                start += len(rows)
    return {split: tuple(baselines) for split, baselines in found.items()}


def look_up(train: Vectors, targets: Rows, asked: Vectors, k: int) -> Floats:
    """Copy the class of the most similar training picture in any pose: (n, k) of 0 and 1."""
    best = np.full(len(asked), -np.inf, np.float32)
    found = np.zeros(len(asked), np.int64)
    for start in range(0, len(asked), _BLOCK):
        some = slice(start, min(start + _BLOCK, len(asked)))
        for pose in neighbours.poses(asked[some]):
            cosines = pose @ train.T
            row, cosine = cosines.argmax(axis=1), cosines.max(axis=1)
            is_nearer = cosine > best[some]
            found[some] = np.where(is_nearer, row, found[some])
            best[some] = np.maximum(cosine, best[some])
    return np.eye(k)[targets[found]]


def boost(train: Table, targets: Rows, asked: Table, k: int) -> Floats:
    """Gradient boosting on a table of columns: probabilities (n, k)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60, early_stopping=False, random_state=SEED, min_samples_leaf=10
    )
    model.fit(train, targets)
    return _in_order(model.classes_, model.predict_proba(asked), k)


def project(pixels: NDArray[np.uint8], rows: tuple[Rows, Rows], targets: Rows, k: int) -> Floats:
    """Standardised pixels, their principal components, logistic regression: probabilities (n, k).

    rows: to fit on and to answer. Mean, deviation and components come from a seeded sample of the
    rows to fit on, so that memory does not grow with the release.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    train, asked = rows
    width = int(np.prod(pixels.shape[1:]))
    size = min(len(train), max(256, min(_PCA_ROWS, _PCA_CELLS // width)))
    chosen = np.sort(np.random.default_rng(SEED).choice(len(train), size, replace=False))
    sample = _flat(pixels, train[chosen])
    mean, deviation = sample.mean(axis=0), np.maximum(sample.std(axis=0), 1.0)
    sample -= mean
    sample /= deviation
    fitted = PCA(
        n_components=min(_COMPONENTS, size - 1, width),
        whiten=True,
        svd_solver="randomized",
        iterated_power=2,
        random_state=SEED,
    ).fit(sample)
    del sample

    def components(of: Rows) -> Floats:
        parts = [
            fitted.transform((_flat(pixels, of[start : start + _BLOCK]) - mean) / deviation)
            for start in range(0, len(of), _BLOCK)
        ]
        return np.concatenate(parts).astype(np.float64)

    model = LogisticRegression(max_iter=1000).fit(components(train), targets)
    return _in_order(model.classes_, model.predict_proba(components(asked)), k)


def _flat(pixels: NDArray[np.uint8], rows: Rows) -> NDArray[np.float32]:
    return pixels[rows].reshape(len(rows), -1).astype(np.float32)


def _in_order(known: Rows, probabilities: Floats, k: int) -> Floats:
    """Columns in the problem's class order, 0 for a class that was not there to fit on."""
    found = np.zeros((len(probabilities), k))
    found[:, known] = probabilities
    return found


def _why_not(name: str, targets: Rows) -> str:
    if not len(targets):
        return "the train split has no labelled sample"
    if name != LOOKUP and len(np.unique(targets)) < 2:
        return "the train split has one class only"
    if name == PIXELS and len(targets) < 3:
        return "the train split has too few samples for principal components"
    return ""


def _scored(
    name: str,
    probabilities: Floats,
    on: tuple[Frames, Rows],
    classes: Sequence[str],
    reason: str,
) -> Baseline:
    frames, rows = on
    if reason or not len(rows):
        return Baseline(name=name, reason=reason or "the split has no labelled sample")
    targets, groups = frames.targets[rows], frames.groups[rows]
    hard = np.eye(len(classes))[probabilities.argmax(axis=1)]
    found = metrics.score(hard, targets, groups, classes)
    return Baseline(name=name, metrics=tuple(m for m in found if m.name in SHOWN))
