"""What a model does with worse pictures: each of eight changes at five strengths.

The changes are those of scanners, cameras and archives, as in ImageNet-C (Hendrycks and Dietterich,
arXiv:1903.12261), on the frames a model is given. What counts is not only how often it is right,
but whether it stops answering before it is wrong.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from neuro.dataset.frames import Frames
from neuro.prediction import predict
from neuro.prediction.predict import Engine

MOST = 300  # images, drawn by group
STRENGTHS = 5  # of each change
SEED = 0

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, float], Pixels]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stressed:
    """The answers under one change. strength: 0 to 5, 0 for the pictures as they are.

    amount: the strength in the unit that the change's name says. right_of_answered: None where
    none is answered.
    """

    change: str
    strength: int
    amount: float
    n: int
    accuracy: float
    answered: float
    right_of_answered: float | None


def sheet(engine: Engine, frames: Frames, rows: NDArray[np.int64]) -> Iterator[Stressed]:
    """The answers to the rows, labelled ones, as they are, and then under each change."""
    chosen = some(rows, frames.groups)
    pixels, targets = frames.pixels[chosen], frames.targets[chosen]
    yield _stressed(engine, pixels, targets, "none", 0, 0.0)
    for name, (change, amounts) in CHANGES.items():
        for strength, amount in enumerate(amounts, start=1):
            changed = np.stack([change(picture, amount) for picture in pixels])
            yield _stressed(engine, changed, targets, name, strength, amount)


def some(rows: NDArray[np.int64], groups: NDArray[np.str_], most: int = MOST) -> NDArray[np.int64]:
    """So many of the rows at most, in whole groups by seed; of a larger one, some. groups: (n,)."""
    names, owner = np.unique(groups[rows], return_inverse=True)
    order = np.random.default_rng(SEED).permutation(len(names))
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    counts = np.bincount(owner)[order].cumsum()
    n_groups = max(1, int((counts <= most).sum()))
    chosen = rows[place[owner] < n_groups]
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(SEED).choice(chosen, most, replace=False))
    return chosen


def _stressed(
    engine: Engine,
    pixels: Pixels,
    targets: NDArray[np.int64],
    change: str,
    strength: int,
    amount: float,
) -> Stressed:
    honest = predict.answer(engine, pixels).calibrated
    right, answered = honest.called == targets, honest.is_answered
    return Stressed(
        change=change,
        strength=strength,
        amount=amount,
        n=len(targets),
        accuracy=float(right.mean()),
        answered=float(answered.mean()),
        right_of_answered=float(right[answered].mean()) if answered.any() else None,
    )


def _gamma(picture: Pixels, exponent: float) -> Pixels:
    return _levels(255 * (picture / 255) ** exponent)


def _contrast(picture: Pixels, factor: float) -> Pixels:
    mean = picture.mean()
    return _levels(mean + factor * (picture - mean))


def _blur(picture: Pixels, share: float) -> Pixels:
    """share: of the side, the deviation of a Gaussian."""
    sigma = share * len(picture)
    return _levels(ndimage.gaussian_filter(picture.astype(np.float64), (sigma, sigma, 0)))


def _noise(picture: Pixels, deviation: float) -> Pixels:
    drawn = np.random.default_rng(SEED).normal(0, deviation, picture.shape)
    return _levels(picture + drawn)


def _jpeg(picture: Pixels, quality: float) -> Pixels:
    buffer = io.BytesIO()
    _image(picture).save(buffer, "JPEG", quality=int(quality))
    with Image.open(buffer) as opened:
        return _array(opened, picture)


def _coarse(picture: Pixels, share: float) -> Pixels:
    """share: of the side that is left."""
    height, width = picture.shape[:2]
    small = (max(1, round(share * width)), max(1, round(share * height)))
    image = _image(picture)
    return _array(image.resize(small, Image.Resampling.BOX).resize(image.size), picture)


def _turned(picture: Pixels, degrees: float) -> Pixels:
    return _array(_image(picture).rotate(degrees, Image.Resampling.BILINEAR), picture)


def _cropped(picture: Pixels, share: float) -> Pixels:
    """share: cut off at each side."""
    image = _image(picture)
    width, height = image.size
    box = (share * width, share * height, (1 - share) * width, (1 - share) * height)
    return _array(image.resize(image.size, Image.Resampling.BILINEAR, box=box), picture)


CHANGES: Mapping[str, tuple[Change, tuple[float, ...]]] = {
    "gamma (exponent)": (_gamma, (1.2, 1.4, 1.7, 2.0, 2.5)),
    "contrast (factor)": (_contrast, (0.8, 0.6, 0.45, 0.3, 0.2)),
    "blur (share of the side)": (_blur, (0.005, 0.01, 0.015, 0.02, 0.03)),
    "noise (grey levels)": (_noise, (2, 5, 10, 20, 40)),
    "JPEG (quality)": (_jpeg, (70, 50, 30, 15, 5)),
    "down-sampling (share of the side)": (_coarse, (0.75, 0.5, 0.35, 0.25, 0.15)),
    "rotation (degrees)": (_turned, (3, 6, 10, 15, 25)),
    "crop (share of each side)": (_cropped, (0.02, 0.04, 0.07, 0.10, 0.15)),
}


def _levels(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _image(picture: Pixels) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


def _array(image: Image.Image, like: Pixels) -> Pixels:
    return np.asarray(image, dtype=np.uint8).reshape(like.shape)
