"""What classifiers without a network score on the same samples: a score under theirs proves little.

All are fitted on the train split alone, seeded, on one thread, and on a bounded number of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neuro.dataset import metadata
from neuro.dataset.frames import Frames
from neuro.duplicates import near_pairs, twins
from neuro.duplicates.pose_invariants import Vectors
from neuro.evaluation import metrics
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.lake import images, sample_metadata
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.passport import confounds
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
        by_name = {metric.name: asdict(metric) for metric in self.metrics}
        return {name: by_name.get(name) for name in SHOWN} | {"reason": self.reason}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Selection:
    """Rows of frames: those to fit on, (m,), and those of each split to score, (n,)."""

    train: Rows
    scored: Mapping[str, Rows]

    @property
    def rows(self) -> Rows:
        """All of them, ascending, each once."""
        return np.unique(np.concatenate([self.train, *self.scored.values()]))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Inputs:
    """What is known of the rows of a selection beside their pixels, in their order: (n, d) each.

    thumbnails: of unit length. confounds: what is not the picture's content. descriptors: named
    scalars.
    """

    thumbnails: Vectors
    confounds: Table
    descriptors: Table


def read_inputs(
    lake: Lake, release: Release, sample_ids: Sequence[str], descriptors: Table
) -> Inputs:
    """The inputs of samples, in their order. descriptors: theirs, (n, d)."""
    thumbnails = [bytes(row) for row in images.thumbnails(lake, release, sample_ids)]
    thumbnail_of = dict(zip(sample_ids, thumbnails, strict=True))
    samples, shapes = sample_metadata.known(lake, release, sample_ids)
    stored_ids = samples["sha256"].to_pylist()  # in the order of the table
    pixels = np.frombuffer(b"".join(thumbnail_of[name] for name in stored_ids), np.uint8)
    border = confounds.border(pixels.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX))
    matrix = confounds.matrix({**metadata.read(samples, shapes), **border})
    row_of = {name: row for row, name in enumerate(stored_ids)}
    rows = np.array([row_of[sample_id] for sample_id in sample_ids], np.int64)
    return Inputs(
        thumbnails=twins.vectors(thumbnails),
        confounds=np.take(matrix, rows, axis=0),
        descriptors=descriptors,
    )


def select(frames: Frames, splits: Sequence[str]) -> Selection:
    """Fit on labelled rows of the train split, at most MAX_ROWS; score those of ``splits``."""
    train = frames.labelled("train")
    if len(train) > MAX_ROWS:
        chosen = np.random.default_rng(SEED).choice(len(train), MAX_ROWS, replace=False)
        train = train[np.sort(chosen)]
    return Selection(train=train, scored={split: frames.labelled(split) for split in splits})


def score(
    frames: Frames, classes: Sequence[str], selection: Selection, inputs: Inputs
) -> dict[str, tuple[Baseline, ...]]:
    """Fit each baseline once and score it on every split, in the order of NAMES."""
    scored_rows = np.concatenate([np.empty(0, np.int64), *selection.scored.values()])
    train = np.searchsorted(selection.rows, selection.train)
    scored = np.searchsorted(selection.rows, scored_rows)
    targets, k = frames.targets[selection.train], len(classes)

    def probabilities(name: str) -> Floats:
        if name == LOOKUP:
            return look_up(inputs.thumbnails[train], targets, inputs.thumbnails[scored], k)
        if name == PIXELS:
            return project(frames.pixels, selection.train, targets, scored_rows, k)
        table = inputs.confounds if name == CONFOUNDS else inputs.descriptors
        return boost(table[train], targets, table[scored], k)

    baselines: dict[str, list[Baseline]] = {split: [] for split in selection.scored}
    for name in NAMES:
        reason = _why_not(name, targets)
        answers = np.empty((0, k))
        if not reason and len(scored_rows):
            with threadpool_limits(1):
                answers = probabilities(name)
        start = 0
        for split, rows in selection.scored.items():
            of_split = answers[start : start + len(rows)]
            start += len(rows)
            if reason or not len(rows):
                why = reason or "the split has no labelled sample"
                baselines[split].append(Baseline(name=name, reason=why))
                continue
            hard = np.eye(k)[of_split.argmax(axis=1)]
            found = metrics.score(hard, frames.targets[rows], frames.groups[rows], classes, SHOWN)
            baselines[split].append(Baseline(name=name, metrics=tuple(found)))
    return {split: tuple(found) for split, found in baselines.items()}


def compared(model: Sequence[Metric], baselines: Sequence[Baseline]) -> list[dict[str, str | int]]:
    """A table of the model and of each baseline: a score under theirs is worth nothing."""
    named = [("this model", model, ""), *((b.name, b.metrics, b.reason) for b in baselines)]
    rows = []
    for name, scores, reason in named:
        by_name = {metric.name: str(metric) for metric in scores}
        row: dict[str, str | int] = {"classifier": name}
        row |= {shown: by_name.get(shown, "") for shown in SHOWN}
        rows.append(row | {"n": scores[0].n if scores else 0, "note": reason})
    return rows


def look_up(train: Vectors, targets: Rows, queries: Vectors, k: int) -> Floats:
    """Copy the class of the most similar training picture in any pose: (n, k) of 0 and 1."""
    nearest = [np.empty(0, np.int64)]
    for start in range(0, len(queries), _BLOCK):
        poses = list(near_pairs.poses(queries[start : start + _BLOCK]))
        best, row = np.full(len(poses[0]), -np.inf, np.float32), np.zeros(len(poses[0]), np.int64)
        for pose in poses:
            cosines = pose @ train.T
            highest = cosines.max(axis=1)
            row = np.where(highest > best, cosines.argmax(axis=1), row)
            best = np.maximum(highest, best)
        nearest.append(row)
    return np.eye(k)[targets[np.concatenate(nearest)]]


def boost(train: Table, targets: Rows, queries: Table, k: int) -> Floats:
    """Gradient boosting on a table of columns: probabilities (n, k)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60, early_stopping=False, random_state=SEED, min_samples_leaf=10
    )
    model.fit(train, targets)
    return _in_order(model.classes_, model.predict_proba(queries), k)


def project(pixels: NDArray[np.uint8], train: Rows, targets: Rows, queries: Rows, k: int) -> Floats:
    """Standardised pixels, their principal components, logistic regression: probabilities (n, k).

    train, queries: rows of the pixels to fit on and to answer. Mean, deviation and components come
    from a seeded sample of the rows to fit on, so that memory does not grow with the release.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    width = int(np.prod(pixels.shape[1:]))
    size = min(len(train), max(256, min(_PCA_ROWS, _PCA_CELLS // width)))
    chosen = np.sort(np.random.default_rng(SEED).choice(len(train), size, replace=False))
    sample = _flat(pixels, train[chosen])
    scaler = StandardScaler().fit(sample)
    scaler.scale_ = np.maximum(scaler.scale_, 1.0)  # under a grey level it is noise of the coding
    pca = PCA(
        n_components=min(_COMPONENTS, size - 1, width),
        whiten=True,
        svd_solver="randomized",
        iterated_power=2,
        random_state=SEED,
    ).fit(scaler.transform(sample))
    del sample

    def components(rows: Rows) -> Floats:
        blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
        parts = [pca.transform(scaler.transform(_flat(pixels, block))) for block in blocks]
        return np.concatenate(parts).astype(np.float64)

    model = LogisticRegression(max_iter=1000).fit(components(train), targets)
    return _in_order(model.classes_, model.predict_proba(components(queries)), k)


def _flat(pixels: NDArray[np.uint8], rows: Rows) -> NDArray[np.float32]:
    return pixels[rows].reshape(len(rows), -1).astype(np.float32)


def _in_order(known: Rows, probabilities: Floats, k: int) -> Floats:
    """Columns in the problem's class order, 0 for a class that was not there to fit on."""
    ordered = np.zeros((len(probabilities), k))
    ordered[:, known] = probabilities
    return ordered


def _why_not(name: str, targets: Rows) -> str:
    if not len(targets):
        return "the train split has no labelled sample"
    if name != LOOKUP and len(np.unique(targets)) < 2:
        return "the train split has one class only"
    if name == PIXELS and len(targets) < 3:
        return "the train split has too few samples for principal components"
    return ""
