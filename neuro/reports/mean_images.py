"""What images of a class have in common: their mean, and where they differ from it."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_AT_ONCE = 256  # frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Average:
    """Mean and deviation of each pixel as pictures, PNG. n: images they are of.

    The deviation is stretched so that the largest, ``largest`` grey levels, is white.
    """

    n: int
    mean: bytes
    deviation: bytes
    largest: float


def by_class(
    pixels: NDArray[np.uint8], rows: Mapping[str, NDArray[np.int64]]
) -> dict[str, Average]:
    """Averages of some rows each. pixels: (n, side, side, channels), read in small pieces."""
    return {name: _average(pixels, chosen) for name, chosen in rows.items() if len(chosen)}


def moments(
    pixels: NDArray[np.uint8], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each pixel over some rows, one at least: (side, side, channels)."""
    total = np.zeros(pixels.shape[1:])
    squares = np.zeros(pixels.shape[1:])
    for start in range(0, len(rows), _AT_ONCE):
        some = pixels[rows[start : start + _AT_ONCE]].astype(np.float64)
        total += some.sum(axis=0)
        squares += (some * some).sum(axis=0)
    mean = total / len(rows)
    return mean, np.sqrt(np.maximum(squares / len(rows) - mean * mean, 0))


def _average(pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Average:
    mean, deviations = moments(pixels, rows)
    deviation = deviations.mean(axis=2)
    largest = float(deviation.max())
    return Average(
        n=len(rows),
        mean=png(mean),
        deviation=png(deviation[..., None] * (255 / largest if largest else 1)),
        largest=largest,
    )


def png(levels: NDArray[np.float64]) -> bytes:
    """Grey levels or colours of 0..255, (side, side, channels), as a picture."""
    whole = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole).save(buffer, "PNG")
    return buffer.getvalue()
