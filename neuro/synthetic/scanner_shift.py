"""A simulated new scanner for demonstrations: another contrast curve, softer focus, more grain."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuro.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Scanner:
    """What one scanner does to every picture.

    gamma: exponent of the contrast curve on 0..1; above 1 darkens the middle. floor: brightness it
    gives to black, 0..1. blur: deviation of its focus as a share of the shorter side. noise:
    deviation of its grain, 0..1. spread: how far a picture strays from these, as a share.
    """

    gamma: float = 0.7
    floor: float = 0.05
    blur: float = 0.012
    noise: float = 0.04
    spread: float = 0.15

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise ConfigError(f"gamma must be above 0, got {self.gamma}")
        for name in ("floor", "blur", "noise", "spread"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be in [0, 1), got {getattr(self, name)}")

    def scaled(self, strength: float) -> "Scanner":
        """The same scanner, that much further from the old one: 0 changes nothing, 1 is itself."""
        return replace(
            self,
            gamma=self.gamma**strength,
            floor=self.floor * strength,
            blur=self.blur * strength,
            noise=self.noise * strength,
        )


DEFAULT = Scanner()


def shift(
    pixels: NDArray[np.uint8], rng: np.random.Generator, scanner: Scanner = DEFAULT
) -> NDArray[np.uint8]:
    """See one picture as the new scanner would have: a new array of the same shape.

    pixels: (h, w) or (h, w, 3) uint8. The grain of all colours is one, so grey stays grey.
    """
    gamma, floor, blur, noise = (
        value * rng.uniform(1 - scanner.spread, 1 + scanner.spread)
        for value in (scanner.gamma, scanner.floor, scanner.blur, scanner.noise)
    )
    light = (pixels.astype(np.float32) / 255) ** np.float32(gamma)
    light = floor + (1 - floor) * light
    focus = blur * min(pixels.shape[:2])
    light = ndimage.gaussian_filter(light, (focus, focus, 0)[: pixels.ndim])
    grain = rng.standard_normal(pixels.shape[:2])
    light = light + noise * (grain if pixels.ndim == 2 else grain[..., None])
    return np.asarray(np.rint(255 * np.clip(light, 0, 1)), dtype=np.uint8)
