"""What a scanner leaves in a picture: a few named scalars of one stored image."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NAMES = (
    "brightness",
    "contrast",
    "entropy",
    "foreground_share",
    "p05",
    "p95",
    "sharpness",
    "noise",
    "edges",
    "border",
    "blockiness",
)
VERSION = "descriptors-2"  # part of the feature hash: raise it when any figure changes

_LEVELS = np.arange(256, dtype=np.float64)
_EDGE_STEP = 32  # grey levels between neighbours: above noise, below tissue borders
_BORDER_SHARE = 16  # the border is the outer sixteenth of each side
_MIN_SIDE_PX = 3  # the 3 x 3 filters need one inner pixel
_BLOCK_PX = 8  # a side of a JPEG block


def describe(raw: bytes) -> NDArray[np.float64]:
    """Measure one vetted PNG or JPEG as stored: no resizing, which would hide blur and noise.

    Returns (11,) float64 in the order of NAMES. brightness, contrast (standard deviation), p05,
    p95 and border (mean of the outer frame) are in 0..1; entropy is in bits, 0..8; sharpness is
    the variance of the Laplacian and noise a standard deviation, both of grey levels scaled to
    0..1; edges and foreground_share are shares of the pixels; blockiness is how much larger a step
    across a border of 8 x 8 blocks is than one inside, over their sum: near 0 where no JPEG was
    pressed hard, 1 where all steps lie on the grid. Finite for every image: under 3 px a side is
    padded.
    """
    with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as opened:
        grey = np.asarray(opened.convert("L"))
    missing = [max(0, _MIN_SIDE_PX - side) for side in grey.shape]
    if any(missing):
        grey = np.pad(grey, [(0, pixels) for pixels in missing], mode="edge")
    return np.array([*_histogram(grey), *_texture(grey), _border(grey), _blockiness(grey)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptors:
    """The feature set of the descriptors: an encoder (``neuro.features.encoders.Encoder``)."""

    name: str = "descriptors"
    preprocess_hash: str = ""

    @property
    def digest(self) -> str:
        """Of the code version alone."""
        return hashlib.sha256(VERSION.encode()).hexdigest()

    def encode(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Descriptors of stored images, (n, 11) float32."""
        rows = [describe(raw) for raw in images]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(NAMES))


def _texture(grey: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Sharpness, noise, edges of (h, w) uint8, by whole-number filters: they are the fastest.

    Noise is Immerkaer's estimate (Fast Noise Variance Estimation, CVIU 64(2), 1996): the mean
    absolute response of the difference of two Laplacians, blind to flat and to linear structure.
    """
    wide = grey.astype(np.int16)
    across = wide[:, :-2] - 2 * wide[:, 1:-1] + wide[:, 2:]  # second difference along each row
    down = wide[:-2] - 2 * wide[1:-1] + wide[2:]
    laplacian = across[1:-1] + down[:, 1:-1]
    cross = across[:-2] - 2 * across[1:-1] + across[2:]
    sharpness = float(np.var(laplacian, dtype=np.float32)) / 255**2
    noise = float(np.abs(cross).mean(dtype=np.float32)) * np.sqrt(np.pi / 2) / 6 / 255
    steps = np.abs(np.diff(wide[:-1], axis=1)) + np.abs(np.diff(wide[:, :-1], axis=0))
    return sharpness, noise, float((steps > _EDGE_STEP).mean())


def _histogram(grey: NDArray[np.uint8]) -> tuple[float, ...]:
    """Brightness, contrast, entropy, foreground share, p05, p95 of (h, w) uint8."""
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    mean = float(shares @ _LEVELS)
    deviation = float(np.sqrt(shares @ (_LEVELS - mean) ** 2))
    seen = shares[shares > 0]
    entropy = -float(seen @ np.log2(seen))
    # 1e-9: a share that should be exactly 5 % must not miss it by rounding.
    low, high = np.searchsorted(np.cumsum(shares), (0.05 - 1e-9, 0.95 - 1e-9))
    above = float(shares[_otsu(shares) + 1 :].sum())
    return mean / 255, deviation / 255, abs(entropy), above, low / 255, high / 255


def _otsu(shares: NDArray[np.float64]) -> int:
    """The grey level that best parts (256,) shares in two (Otsu, IEEE Trans. SMC 9(1), 1979)."""
    below = np.cumsum(shares)
    mass = np.cumsum(shares * _LEVELS)
    spread = below * (1 - below)
    between = np.zeros_like(spread)
    np.divide((mass[-1] * below - mass) ** 2, spread, out=between, where=spread > 1e-12)
    return int(between.argmax()) if between.any() else 255  # a flat image has no foreground


def _border(grey: NDArray[np.uint8]) -> float:
    rows, columns = (max(1, side // _BORDER_SHARE) for side in grey.shape)
    inner = grey[rows:-rows, columns:-columns]
    outer = grey.size - inner.size
    return float(int(grey.sum(dtype=np.int64)) - int(inner.sum(dtype=np.int64))) / outer / 255


def _blockiness(grey: NDArray[np.uint8]) -> float:
    """Steps across the borders of 8 x 8 blocks against those at other places, -1..1.

    The no-reference measure of blocking (Wang, Bovik, Evans, ICIP 2000), in the space domain: JPEG
    codes each block by itself, so that a coarse one leaves steps on the grid that starts at the
    upper left corner.
    """
    across, inside = [], []
    for steps in (_mean_steps(grey, axis=1), _mean_steps(grey, axis=0)):
        on_grid = np.arange(1, len(steps) + 1) % _BLOCK_PX == 0
        if on_grid.any():
            across.append(steps[on_grid].mean())
            inside.append(steps[~on_grid].mean())
    both = float(np.sum(across) + np.sum(inside))
    return float(np.sum(across) - np.sum(inside)) / both if both else 0.0


def _mean_steps(grey: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    """Mean absolute step from each column (axis 1) or row (axis 0) to the next."""
    wide = grey.astype(np.int16)
    steps: NDArray[np.float64] = np.abs(np.diff(wide, axis=axis)).mean(axis=1 - axis)
    return steps
