"""Planted label errors: average precision of the passport's ranking, and of those by embedding."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench import plants, suspects
from bench.suspects import SHARE, Labelled
from bench.uses import compared
from bench.uses.compared import Row, Scored
from bench.uses.pictures import Pictures, Vectors
from neuro.passport import label_errors, out_of_fold

DRAWS = 5
_CLOSEST = 24  # as many as the passport asks
_PENALTY = 0.01  # C of the logistic classifier: more numbers than images

Scores = NDArray[np.float64]


def measure(data: Pictures, pretrained: Vectors, thumb_cpu_s: float, seed: int) -> list[Row]:
    near = np.argsort(-pretrained.cosines, axis=1, kind="stable")[:, :_CLOSEST]

    def same_scorer(labels: NDArray[np.int64]) -> Scores:
        names = data.groups.tolist()
        return label_errors.supported_by(pretrained.rows, labels, names, near)

    def logistic(labels: NDArray[np.int64]) -> Scores:
        otherwise = np.bincount(labels) / len(labels)
        return out_of_fold.probabilities(
            _logistic, pretrained.rows, labels, data.groups.tolist(), otherwise=otherwise
        )

    ways: dict[str, Callable[[NDArray[np.int64]], Scores]] = {
        "same scorer": same_scorer,
        "logistic, out of fold": logistic,
    }
    now: list[float] = []
    new: dict[str, list[float]] = {name: [] for name in ways}
    classes = data.planted.question.classes
    for draw in range(DRAWS):
        drawn, wrong = plants.flipped(
            [real.label for real in data.planted.reals], classes, SHARE, seed + draw
        )
        labels = np.array([classes.index(label) for label in drawn])
        planted = Labelled(
            thumbnails=data.planted.thumbnails, labels=labels, groups=data.groups.astype(int)
        )
        now.append(float(average_precision_score(wrong, suspects.rank(planted))))
        for name, way in ways.items():
            doubt = 1 - way(labels)[np.arange(len(labels)), labels]
            new[name].append(float(average_precision_score(wrong, doubt)))
    return [
        compared.compare(
            "label suspects",
            data.name,
            Scored(way="thumb", scores=np.array(now), cpu_s=thumb_cpu_s),
            Scored(
                way=f"{pretrained.name}: {name}", scores=np.array(scores), cpu_s=pretrained.cpu_s
            ),
            np.arange(DRAWS).astype(np.str_),
        )
        for name, scores in new.items()
    ]


def _logistic() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=_PENALTY, max_iter=300))
