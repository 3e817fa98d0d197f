"""What another scanner, another export or another clinic does to images, mildest first."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bench.drifts import unseen

Pixels = NDArray[np.uint8]
Change = Callable[[bytes, float], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A change of stored images. strengths: mildest first; the last is the strongest."""

    name: str
    change: Change
    strengths: tuple[float, ...]


def changed(shift: Shift, strength: float, stored: Sequence[bytes]) -> list[bytes]:
    """Each image as another scanner would have stored it."""
    return [shift.change(raw, strength) for raw in stored]


def _of_pixels(change: Callable[[NDArray[np.float32], float], NDArray[np.float32]]) -> Change:
    """A change of (h, w, ...) float32 grey levels as one of stored bytes."""

    def whole(raw: bytes, strength: float) -> bytes:
        levels = change(unseen.decoded(raw).astype(np.float32), strength)
        return unseen.encoded(np.clip(np.rint(levels), 0, 255).astype(np.uint8))

    return whole


def _gamma(levels: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    return np.float32(255) * (levels / np.float32(255)) ** np.float32(power)


def _curve(levels: NDArray[np.float32], steepness: float) -> NDArray[np.float32]:
    """A sigmoid through black, white and the middle."""
    low, high = (np.tanh(steepness * side / 4) for side in (-1, 1))
    bent = np.tanh(np.float32(steepness / 2) * (levels / np.float32(255) - np.float32(0.5)))
    return np.asarray(255 * (bent - low) / (high - low), np.float32)


def _contrast(levels: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    mean = levels.mean()
    return np.asarray(mean + (levels - mean) * np.float32(share), np.float32)


def _blur(levels: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    sigma = (sigma_px, sigma_px, 0)[: levels.ndim]
    return np.asarray(ndimage.gaussian_filter(levels, sigma), np.float32)


def _resized(raw: bytes, factor: float, *, is_stored_small: bool) -> bytes:
    """Smaller by a factor, and back to its size unless it is stored small."""
    picture = Image.fromarray(unseen.decoded(raw))
    size = (max(16, round(picture.width / factor)), max(16, round(picture.height / factor)))
    small = picture.resize(size, Image.Resampling.BILINEAR)
    if not is_stored_small:
        small = small.resize(picture.size, Image.Resampling.BILINEAR)
    return unseen.encoded(np.asarray(small))


def _jpeg(raw: bytes, quality: float) -> bytes:
    return unseen.encoded(unseen.decoded(raw), quality=int(quality))


def _noise(raw: bytes, deviation: float) -> bytes:
    """Seeded by the image, so that the same image is always changed alike."""
    pixels = unseen.decoded(raw)
    rng = np.random.default_rng(zlib.crc32(raw))
    noisy = pixels + rng.normal(0, deviation, pixels.shape[:2] + (1,) * (pixels.ndim - 2))
    return unseen.encoded(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


BLUR = Shift(name="blur, px", change=_of_pixels(_blur), strengths=(0.7, 1, 1.5, 2, 3, 4, 6))
HARMFUL = (
    Shift(name="gamma", change=_of_pixels(_gamma), strengths=(1.25, 1.5, 1.8, 2.2, 2.8, 3.6)),
    Shift(name="contrast curve", change=_of_pixels(_curve), strengths=(2, 4, 6, 9, 13, 20)),
    Shift(name="contrast x", change=_of_pixels(_contrast), strengths=(0.8, 0.65, 0.5, 0.35, 0.2)),
    BLUR,
    Shift(
        name="down-sampling",
        change=partial(_resized, is_stored_small=False),
        strengths=(1.5, 2, 2.5, 3, 4, 6, 8),
    ),
)
HARMLESS = (
    Shift(name="JPEG quality", change=_jpeg, strengths=(50,)),
    Shift(name="mild noise, levels", change=_noise, strengths=(2,)),
    Shift(
        name="source resized by 1 /",
        change=partial(_resized, is_stored_small=True),
        strengths=(1.2,),
    ),
)
MIX_ODDS = (2.0, 4.0, 8.0, 16.0)  # of the class that is called worst, in a new mix


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mix:
    """A new mix of classes. weights: how likely each image of the pool is drawn, (n,)."""

    name: str
    strength: float
    weights: NDArray[np.float64]
    lost: float


def new_mix(correct: NDArray[np.float64], targets: NDArray[np.int64], enough: float) -> Mix:
    """More of the class that the model knows worst: the mildest of MIX_ODDS that costs enough."""
    recalls = _recalls(correct, targets)
    worst = min(recalls, key=lambda number: recalls[number])
    for odds in MIX_ODDS:
        weights = np.where(targets == worst, odds, 1.0)
        lost = float(correct.mean() - np.average(correct, weights=weights))
        if lost >= enough:
            break
    return Mix(name=f"class {worst} odds x", strength=odds, weights=weights, lost=lost)


def missing_class(correct: NDArray[np.float64], targets: NDArray[np.int64]) -> Mix:
    """Without the class whose absence costs most."""
    recalls = _recalls(correct, targets)
    best = max(recalls, key=lambda number: recalls[number])
    weights = (targets != best).astype(np.float64)
    lost = float(correct.mean() - np.average(correct, weights=weights))
    return Mix(name="class missing: number", strength=best, weights=weights, lost=lost)


def _recalls(correct: NDArray[np.float64], targets: NDArray[np.int64]) -> Mapping[int, float]:
    return {int(n): float(correct[targets == n].mean()) for n in np.unique(targets)}
