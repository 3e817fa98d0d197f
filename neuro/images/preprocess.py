"""The one path from image bytes to a tensor; training, prediction and every page take it."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuro import limits
from neuro.images import jpeg

MODES = {"L": 1, "RGB": 3}
FITS = ("stretch", "pad")
INTENSITIES = ("unit", "standard")
DECODERS = ("turbo-bilinear", "pillow-bilinear")
_CHOICES = {"mode": tuple(MODES), "fit": FITS, "intensity": INTENSITIES, "decoder": DECODERS}
REACH = 1.5  # sides of a JPEG that is decoded small, in sides of the frame; part of turbo-bilinear


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessSpec:
    """How bytes become a tensor.

    mode: "L" (grey) or "RGB". size_px: side of the square frame. fit: "stretch" ignores the aspect
    ratio, "pad" keeps it and centres on black. intensity: "unit" gives 0..1; "standard" gives each
    image mean 0 and deviation 1. decoder is part of the hash: another decoder is another path.
    "pillow-bilinear" decodes in full; "turbo-bilinear" computes no colours that are not wanted, and
    of a JPEG that is much larger than the frame no more than it needs.
    """

    mode: str = "L"
    size_px: int = 96
    fit: str = "stretch"
    intensity: str = "unit"
    decoder: str = "turbo-bilinear"

    def __post_init__(self) -> None:
        limits.among(self, _CHOICES, "preprocess.")
        limits.within(self, {"size_px": (16, 1024)}, "preprocess.")

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return MODES[self.mode]

    @property
    def sha256(self) -> str:
        """Digest of every field: what is written into frames, packages and predictions."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def frame(raw: bytes, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Decode vetted image bytes into one (size, size, channels) uint8 frame.

    Raises BadImageError where a JPEG is not whole.
    """
    side = (spec.size_px, spec.size_px)
    if spec.decoder == "turbo-bilinear" and raw.startswith(jpeg.START):
        small = jpeg.reduced(raw, spec.mode, ceil(REACH * spec.size_px))
        if small.pixels.shape[:2] == side:
            return small.pixels
        flat = small.pixels[..., 0] if spec.mode == "L" else small.pixels
        picture, scale, size = Image.fromarray(flat), small.scale, small.size
    else:
        with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as opened:
            picture, scale, size = opened.convert(spec.mode), 1.0, opened.size
    box = (0.0, 0.0, size[0] * scale, size[1] * scale)
    if spec.fit == "pad":
        picture, box = _padded(picture, scale, size)
    resized = picture.resize(side, Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, dtype=np.uint8).reshape(*side, spec.channels)


def _padded(
    picture: Image.Image, scale: float, size: tuple[int, int]
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """On a black square, and where in it the square of the source lies.

    scale: of the picture; size: width and height of its source. Scaled, they need not be whole.
    """
    longest = max(size)
    left, top = ((longest - side) // 2 * scale for side in size)
    x, y, side = ceil(left) - left, ceil(top) - top, longest * scale
    square = Image.new(picture.mode, (ceil(x + side), ceil(y + side)))
    square.paste(picture, (ceil(left), ceil(top)))
    return square, (x, y, x + side, y + side)


def levels(frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], int]:
    """The sum of the channels and its most: (n, side, side, channels) to (n, side, side)."""
    channels = frames.shape[3]
    total = frames[..., 0].astype(np.uint16)
    for channel in range(1, channels):  # faster than a sum over the last axis
        total += frames[..., channel]
    return total, 255 * channels


def brightness(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of the channels, 0 to 1: (n, side, side, channels) to (n, side, side)."""
    total, most = levels(frames)
    return total.astype(np.float32) / np.float32(most)


def to_tensor(frames: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Turn (n, size, size, channels) uint8 frames into (n, channels, size, size) float32."""
    scaled = np.ascontiguousarray(frames.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
    if spec.intensity == "unit":
        return scaled
    mean = scaled.mean(axis=(1, 2, 3), keepdims=True)
    deviation = scaled.std(axis=(1, 2, 3), keepdims=True)
    standard: NDArray[np.float32] = (scaled - mean) / np.maximum(deviation, np.float32(1e-3))
    return standard
