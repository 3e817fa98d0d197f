"""The one path from image bytes to a tensor; training, prediction and every page take it."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuro.errors import ConfigError

MODES = {"L": 1, "RGB": 3}
FITS = ("stretch", "pad")
INTENSITIES = ("unit", "standard")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessSpec:
    """How bytes become a tensor.

    mode: "L" (grey) or "RGB". size_px: side of the square frame. fit: "stretch" ignores the aspect
    ratio, "pad" keeps it and centres on black. intensity: "unit" gives 0..1; "standard" gives each
    image mean 0 and deviation 1. decoder is part of the hash: another decoder is another path.
    """

    mode: str = "L"
    size_px: int = 96
    fit: str = "stretch"
    intensity: str = "unit"
    decoder: str = "pillow-bilinear"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("mode", self.mode, tuple(MODES)),
            ("fit", self.fit, FITS),
            ("intensity", self.intensity, INTENSITIES),
        ):
            if value not in allowed:
                raise ConfigError(f"preprocess.{name} must be one of {allowed}, got {value!r}")
        if not 16 <= self.size_px <= 1024:
            raise ConfigError(f"preprocess.size_px must be 16 to 1024, got {self.size_px}")

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return MODES[self.mode]

    @property
    def sha256(self) -> str:
        """Digest of every field: what is written into frames, packages and predictions."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def frame(raw: bytes, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Decode vetted image bytes into one (size, size, channels) uint8 frame."""
    with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as opened:
        picture = opened.convert(spec.mode)
    if spec.fit == "pad":
        side = max(picture.size)
        square = Image.new(spec.mode, (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        picture = square
    resized = picture.resize((spec.size_px, spec.size_px), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8).reshape(spec.size_px, spec.size_px, spec.channels)


def to_tensor(frames: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Turn (n, size, size, channels) uint8 frames into (n, channels, size, size) float32."""
    scaled = np.ascontiguousarray(frames.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
    if spec.intensity == "unit":
        return scaled
    mean = scaled.mean(axis=(1, 2, 3), keepdims=True)
    deviation = scaled.std(axis=(1, 2, 3), keepdims=True)
    standard: NDArray[np.float32] = (scaled - mean) / np.maximum(deviation, np.float32(1e-3))
    return standard
