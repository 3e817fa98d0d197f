"""Whether the test images that a source gives look like its training images, class by class.

Where a probe tells the two apart within a class, test figures of that class are of other images
than those that were learnt: a two-sample test by a classifier (Lopez-Paz and Oquab,
arXiv:1610.06545).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from neuro.duplicates import pose_invariants, twins
from neuro.evaluation import metrics
from neuro.passport import confounds, out_of_fold
from neuro.reports import mean_images
from neuro.sample import Metric, lies_in

FEWEST = 20  # images of a class in each of the two
_TWO = ("train", "test")
_RADIUS = 8  # of the low frequencies that the probe sees
_LEAST = 1e-6  # grey levels
_LIKE_CONTENT = 0.1  # deviation of a coefficient of content, which is of unit length together

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Difference:
    """A class in the source's train and in its test.

    n, brightness, means: of train and of test: images, mean grey level of 0..255, mean image as
    PNG. told_apart: AUROC of the probe, 0.5 where they look alike. change: PNG, test less train,
    grey where they agree; black and white are ``largest`` grey levels.
    """

    name: str
    n: tuple[int, int]
    brightness: tuple[float, float]
    means: tuple[bytes, bytes]
    told_apart: Metric
    change: bytes
    largest: float


def compare(
    classes: NDArray[np.str_],
    given: NDArray[np.str_],
    groups: NDArray[np.str_],
    pixels: NDArray[np.uint8],
    thumbnails: NDArray[np.uint8],
) -> list[Difference]:
    """Each class with FEWEST images in both, by name; an image that lies in both is of neither.

    classes, given, groups: (n,). pixels: (n, side, side, channels). thumbnails: (n, 1024).
    """
    in_train, in_test = (np.array([lies_in(s, name) for s in given], bool) for name in _TWO)
    found = []
    for name in np.unique(classes):
        train, test = (
            np.flatnonzero((classes == name) & one & ~other)
            for one, other in ((in_train, in_test), (in_test, in_train))
        )
        if min(len(train), len(test)) >= FEWEST:
            rows = np.concatenate([train, test])
            targets = np.repeat([0, 1], [len(train), len(test)])
            told = _told_apart(thumbnails[rows], targets, groups[rows])
            found.append(_difference(str(name), pixels, train, test, told))
    return found


def _told_apart(thumbnails: NDArray[np.uint8], targets: Rows, groups: NDArray[np.str_]) -> Metric:
    """By a linear discriminant of the picture's low frequencies, brightness and contrast.

    It saw no group mate.
    """
    looks = twins.vectors([bytes(row) for row in thumbnails])  # without brightness and contrast
    levels = thumbnails.astype(np.float32)
    tone = np.stack([levels.mean(axis=1), levels.std(axis=1)], axis=1)
    tone = (tone - tone.mean(axis=0)) / np.maximum(tone.std(axis=0), _LEAST)
    content = pose_invariants.split(looks, _RADIUS).coefficients
    shares = out_of_fold.probabilities(
        _even_discriminant,
        np.concatenate([*content, tone * _LIKE_CONTENT], axis=1),
        targets,
        groups.tolist(),
        otherwise=np.full(2, 0.5),
        fewest=2,
    )
    scores = metrics.score(shares, targets, groups, _TWO, ("auroc",))
    return next(metric for metric in scores if metric.name == "auroc")


def _even_discriminant() -> LinearDiscriminantAnalysis:
    """Of even priors: the share of test images in the other folds would tell that of this one."""
    return confounds.discriminant().set_params(priors=(0.5, 0.5))


def _difference(
    name: str, pixels: NDArray[np.uint8], train: Rows, test: Rows, told: Metric
) -> Difference:
    of_train, of_test = (mean_images.moments(pixels, rows)[0] for rows in (train, test))
    change = (of_test - of_train).mean(axis=2)
    largest = float(np.abs(change).max())
    return Difference(
        name=name,
        n=(len(train), len(test)),
        brightness=(float(of_train.mean()), float(of_test.mean())),
        means=(mean_images.png(of_train), mean_images.png(of_test)),
        told_apart=told,
        change=mean_images.png(127.5 + change[..., None] * (127.5 / largest if largest else 1)),
        largest=largest,
    )
