"""Drawn pictures of no problem: noise, black, screens of text. No model may answer them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]

_LETTERS = list("abcdefghijklmnopqrstuvwxyz     0123456789")


def draw(n: int, side: int, channels: int, seed: int = 0) -> dict[str, Pixels]:
    """Frames of each kind, (n, side, side, channels), by seed."""
    rng = np.random.default_rng(seed)
    grey = {
        "noise": rng.integers(0, 256, (n, side, side), dtype=np.uint8),
        "black": np.zeros((n, side, side), np.uint8),
        "text": np.stack([_text(rng, side) for _ in range(n)]),
    }
    return {kind: np.repeat(drawn[..., None], channels, axis=3) for kind, drawn in grey.items()}


def _text(rng: np.random.Generator, side: int) -> Pixels:
    """A screenshot: lines of letters, dark on light or light on dark."""
    is_light = rng.random() < 0.7
    page = Image.new("L", (side, side), int(rng.integers(200, 256) if is_light else 20))
    ink = ImageDraw.Draw(page)
    for down in range(4, side - 8, 11):
        letters = rng.choice(_LETTERS, rng.integers(4, 20))
        ink.text((int(rng.integers(2, 9)), down), "".join(letters), fill=20 if is_light else 235)
    return np.asarray(page)
