"""Small pictures whose likeness is known beforehand."""

import numpy as np

from neuro.duplicates import twins
from neuro.duplicates.pose_invariants import Vectors

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (6, 32, 32)).astype(np.uint8)  # cosines among them below 0.1


def vectors(pictures: list[np.ndarray]) -> Vectors:
    return twins.vectors([np.ascontiguousarray(picture).tobytes() for picture in pictures])


def poses(picture: np.ndarray) -> list[np.ndarray]:
    """Work out the eight poses by coordinates, without np.rot90."""
    flips = [picture, picture[::-1], picture[:, ::-1], picture[::-1, ::-1]]
    return flips + [flip.T for flip in flips]


def near(picture: np.ndarray, cosine: float, other: np.ndarray) -> np.ndarray:
    """A picture at the given cosine from another, up to the rounding of its grey levels."""
    a, b = (x - x.mean() for x in (picture.astype(float), other.astype(float)))
    b -= a * (a * b).sum() / (a * a).sum()
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    mixed = cosine * a + np.sqrt(1 - cosine**2) * b
    grey: np.ndarray = np.round(128 + mixed * 100 / np.abs(mixed).max()).astype(np.uint8)
    return grey


def smooth(seed: int, side: int = 160) -> np.ndarray:
    """A picture whose spectrum falls as that of photographs does (D. Field, JOSA A 4(12), 1987)."""
    waves = np.fft.fftfreq(side) * side
    radius = np.maximum(np.hypot(*np.meshgrid(waves, waves)), 1)
    noise = np.random.default_rng(seed).standard_normal((side, side))
    field = np.real(np.fft.ifft2(np.fft.fft2(noise) / radius**1.5))
    grey: np.ndarray = np.round(128 + field * 100 / np.abs(field).max()).astype(np.uint8)
    return grey
