"""Seeded brain-like phantoms: drawn, not measured, and marked so in the picture itself.

A kind is a number. It decides the lesion alone: its place, its border, its brightness. All the
rest of a head, small bright vessels and blobs included, is drawn alike for every kind.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConfigError

KINDS = 4
_GLYPHS = {  # 3 x 5 pixels each, row by row
    "S": "###|#..|###|..#|###",
    "Y": "#.#|#.#|.#.|.#.|.#.",
    "N": "#.#|###|###|#.#|#.#",
    "T": "###|.#.|.#.|.#.|.#.",
    "H": "#.#|#.#|###|#.#|#.#",
    "E": "###|#..|##.|#..|###",
    "I": "###|.#.|.#.|.#.|###",
    "C": "###|#..|#..|#..|###",
}
_MARK = "SYNTHETIC"
_GRAIN = 0.008, 0.025  # least and largest deviation of the noise
_SKULL = 0.87  # where the brain ends, in radii of the head

Field = NDArray[np.floating]  # float32, but NumPy's stubs lose that


@dataclass(frozen=True, kw_only=True, slots=True)
class _Head:
    """A head's own upright coordinates at every pixel, the skin at radius 1; all (size, size)."""

    across: Field
    down: Field
    radius: Field
    pixel: float  # side of one pixel, in radii


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contrast:
    """Brightness of each tissue: what the scanner's sequence decides."""

    grey: float
    white: float
    fluid: float
    skin: float
    lesion: float


def draw(kind: int, rng: np.random.Generator, size_px: int = 96) -> NDArray[np.uint8]:
    """Draw one grey (size_px, size_px) phantom.

    Raises ConfigError for another kind or a side that has no room for the mark.
    """
    return draw_with_lesion(kind, rng, size_px)[0]


def draw_with_lesion(
    kind: int, rng: np.random.Generator, size_px: int = 96
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The phantom of ``draw``, and where its lesion is, (size_px, size_px) bool.

    kind 0: a ragged, uneven lesion inside a hemisphere. 1: a round, even, bright one with a sharp
    border, on the skull. 2: none. 3: a small, smooth, bright one on the midline, low.
    Raises what ``draw`` raises.
    """
    if kind not in range(KINDS):
        raise ConfigError(f"kind must be 0 to {KINDS - 1}, got {kind}")
    if size_px < 64:
        raise ConfigError(f"size_px must be at least 64, got {size_px}")
    head, contrast = _head(rng, size_px), _contrast(rng)
    brain = _distract(_brain(head, contrast, rng), head, contrast, rng)
    brain, lesion = _lesion(kind, brain, head, contrast, rng)
    inside = _within(head.radius, _SKULL, head.pixel)
    picture = inside * brain + (1 - inside) * _shell(head, contrast, rng)
    return _mark(_expose(picture, rng)), (lesion > 0.5) & (head.radius < _SKULL)


def exposed_again(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same phantom, as ``draw`` gives it, in a second picture: other exposure, other grain."""
    grain = _GRAIN[0] * rng.standard_normal(pixels.shape, dtype=np.float32)
    lit = rng.uniform(0.85, 1.15) * pixels.astype(np.float32) / 255 + grain
    return _mark(np.rint(255 * np.clip(lit, 0, 1)).astype(np.uint8))


def _head(rng: np.random.Generator, size_px: int) -> _Head:
    """An egg of random size, place, tilt and outline."""
    axis = (np.arange(size_px, dtype=np.float32) + 0.5) * (2 / size_px) - 1
    x, y = np.meshgrid(axis - rng.uniform(-0.1, 0.1), axis - rng.uniform(-0.1, 0.1))
    tilt, width, height = rng.normal(0, 0.22), rng.uniform(0.58, 0.85), rng.uniform(0.7, 0.93)
    across = (math.cos(tilt) * x + math.sin(tilt) * y) / width
    down = (math.cos(tilt) * y - math.sin(tilt) * x) / height
    across = across * (1 + rng.uniform(-0.12, 0.12) * down)
    angle = np.arctan2(down, across)
    outline = sum(
        rng.normal(0, 0.02) * np.cos(order * angle + rng.uniform(0, 2 * math.pi))
        for order in (2, 3, 4)
    )
    radius = _length(across, down) * (1 + outline)
    return _Head(across=across, down=down, radius=radius, pixel=4 / size_px / (width + height))


def _contrast(rng: np.random.Generator) -> _Contrast:
    """Fluid dark and white matter bright, or the other way round, as in T1 and T2 pictures."""
    grey, step = rng.uniform(0.38, 0.58), rng.uniform(0.05, 0.18)
    is_t1 = rng.random() < 0.5
    return _Contrast(
        grey=grey,
        white=grey + step if is_t1 else grey - step,
        fluid=rng.uniform(0.05, 0.2) if is_t1 else rng.uniform(0.75, 0.95),
        skin=rng.uniform(0.3, 1.0),
        lesion=rng.uniform(0.55, 0.75),
    )


def _brain(head: _Head, contrast: _Contrast, rng: np.random.Generator) -> Field:
    """White matter in folded grey, two ventricles, the fissure between the hemispheres."""
    size, soft = len(head.radius), head.pixel
    folds = _cloud(rng, size, 14)
    depth = head.radius + 0.09 * folds + 0.05 * _cloud(rng, size, 7)
    white = _within(depth, rng.uniform(0.66, 0.76), 3 * soft)
    brain = contrast.grey + (contrast.white - contrast.grey) * white
    creases = np.clip(_cloud(rng, size, 26), 0, 1)
    sulci = _within(-depth, -rng.uniform(0.76, 0.84), 2 * soft) * creases
    fissure = _within(np.abs(head.across + 0.03 * folds), rng.uniform(0.005, 0.02), soft)
    fissure = fissure * np.clip(3 * np.abs(head.down) - 0.9, 0, 1)
    fluid = np.maximum(0.5 * sulci, 0.8 * fissure)
    length, gap, bend = rng.uniform(0.16, 0.34), rng.uniform(0.06, 0.13), rng.uniform(-0.5, 0.5)
    middle, thick = rng.uniform(-0.2, 0.02), rng.uniform(0.04, 0.1)
    for side in (-1, 1):
        along = (head.down - middle) / (length * rng.uniform(0.85, 1.15))
        away = (side * head.across - gap - bend * gap * along**2) / thick
        fluid = np.maximum(fluid, _within(_length(along, away), 1, soft / thick))
    brain = brain + (contrast.fluid - brain) * fluid
    return np.asarray(brain + rng.uniform(0.02, 0.05) * _cloud(rng, size, 24))


def _shell(head: _Head, contrast: _Contrast, rng: np.random.Generator) -> Field:
    """Skin and dark bone around the brain, air outside."""
    thick = rng.uniform(0.03, 0.07)
    skin = _within(np.abs(head.radius - 1 + thick), thick, head.pixel)
    return contrast.skin * skin * (1 + 0.25 * _cloud(rng, len(head.radius), 9)) + 0.02


def _distract(brain: Field, head: _Head, contrast: _Contrast, rng: np.random.Generator) -> Field:
    """Vessels and blobs in every kind alike: brightness somewhere is not the answer.

    None lies low on the midline or against the skull, and none is ragged.
    """
    for _ in range(rng.integers(2, 6)):
        turn, far = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 0.68)
        across, down = far * math.cos(turn), far * math.sin(turn)
        across = math.copysign(max(abs(across), 0.2), across)
        size = rng.uniform(0.02, 0.05) if rng.random() < 0.8 else rng.uniform(0.06, 0.1)
        spot = _within(_distance(head, across, down), size, 2 * head.pixel)
        brain = brain + spot * rng.uniform(0.25, 0.5) * contrast.lesion * (
            -1 if rng.random() < 0.3 else 1
        )
    return brain


def _lesion(
    kind: int, brain: Field, head: _Head, contrast: _Contrast, rng: np.random.Generator
) -> tuple[Field, Field]:
    """The brain with what the kind is about, and how much of it is at each pixel, 0 to 1."""
    side = -1 if rng.random() < 0.5 else 1
    if kind == 0:
        place = _distance(head, side * rng.uniform(0.3, 0.46), rng.uniform(-0.4, 0.35))
        edge = 0.07 * _cloud(rng, len(brain), 9) + 0.05 * _cloud(rng, len(brain), 18)
        ragged = _within(place + edge, rng.uniform(0.2, 0.32), 2 * head.pixel)
        uneven = 0.55 + 0.65 * _cloud(rng, len(brain), 16)
        return brain + ragged * contrast.lesion * uneven, ragged
    if kind == 1:
        turn, size = rng.uniform(0, 2 * math.pi), rng.uniform(0.17, 0.25)
        far = _SKULL - 0.75 * size
        place = _distance(head, far * math.cos(turn), far * math.sin(turn))
        round_ = _within(place, size, head.pixel)
        return brain + round_ * (contrast.grey + contrast.lesion - brain), round_
    if kind == 3:
        place = _distance(head, rng.normal(0, 0.015), rng.uniform(0.32, 0.45))
        small = _within(place, rng.uniform(0.1, 0.14), head.pixel)
        return brain + small * (contrast.grey + contrast.lesion - brain), small
    return brain, np.zeros_like(brain)


def _expose(picture: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Coil field, exposure and noise of one picture; the mean is drawn apart from the kind."""
    size = len(picture)
    field = np.exp(0.22 * _cloud(rng, size, 3) + 0.08 * _cloud(rng, size, 5))
    lit = np.clip(picture, 0, None) * field
    lit = lit * (rng.uniform(0.13, 0.27) / lit.mean())
    grain = rng.uniform(*_GRAIN) * rng.standard_normal(lit.shape, dtype=np.float32)
    return np.asarray(np.rint(255 * np.clip(lit + grain, 0, 1)), dtype=np.uint8)


def _mark(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Write what this is into the lower left corner, on black."""
    label = _label(scale=len(pixels) // 64)
    marked = pixels.copy()
    marked[-label.shape[0] :, : label.shape[1]] = label
    return marked


@cache
def _label(scale: int) -> NDArray[np.uint8]:
    letters = [[list(row) for row in _GLYPHS[letter].split("|")] for letter in _MARK]
    text = np.concatenate([np.pad(np.array(one) == "#", ((0, 0), (0, 1))) for one in letters], 1)
    framed = np.pad(text, ((1, 1), (1, 0))).astype(np.uint8) * np.uint8(230)
    return np.kron(framed, np.ones((scale, scale), dtype=np.uint8))


def _distance(head: _Head, across: float, down: float) -> Field:
    return _length(head.across - across, head.down - down)


def _length(across: Field, down: Field) -> Field:
    return np.asarray(np.sqrt(across * across + down * down))


def _within(value: Field, limit: float, soft: float) -> Field:
    """1 where value is below the limit, 0 above, a ramp of ``soft`` on each side."""
    return np.asarray(np.clip((limit - value) / (2 * soft) + 0.5, 0, 1))


def _cloud(rng: np.random.Generator, size_px: int, cells: int) -> Field:
    """Smooth noise of deviation 1, about ``cells`` bumps across."""
    spread = _spread(size_px, cells)
    coarse = rng.standard_normal((cells + 2, cells + 2), dtype=np.float32)
    return np.asarray(spread @ coarse @ spread.T)


@cache
def _spread(size_px: int, cells: int) -> Field:
    """(size_px, cells + 2) weights with which the values of a coarse grid reach each pixel."""
    pixel = (np.arange(size_px) + 0.5) * (cells / size_px)
    bump = np.exp(-2 * (pixel[:, None] - np.arange(-0.5, cells + 1)) ** 2)
    return np.asarray(bump / np.linalg.norm(bump, axis=1, keepdims=True), dtype=np.float32)
