"""A map over its picture: colour where it is high, and nowhere else."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuro.images.preprocess import PreprocessSpec
from neuro.reports import map_overlay

STRETCH, PAD = PreprocessSpec(), PreprocessSpec(fit="pad")


def grey(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), 90).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def drawn(small: bytes, map_: NDArray[np.float32], spec: PreprocessSpec) -> NDArray[np.int64]:
    """How much each pixel of the overlay is coloured."""
    raw = map_overlay.overlay(small, map_, spec, 6)
    assert raw is not None
    with Image.open(io.BytesIO(raw)) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.int64)
    return np.asarray(pixels.max(axis=2) - pixels.min(axis=2))


def corner(row: int, column: int) -> NDArray[np.float32]:
    map_ = np.zeros((6, 6), np.float32)
    map_[row, column] = 3
    return map_


def test_the_picture_is_coloured_where_the_map_is_high_and_there_alone() -> None:
    colour = drawn(grey(120, 60), corner(5, 5), STRETCH)
    assert colour.shape == (60, 120)
    assert colour[50:, 100:].mean() > 60
    assert colour[:40, :80].mean() < 6


def test_a_map_of_a_padded_frame_leaves_out_what_is_not_the_picture() -> None:
    """Of a picture twice as wide as high, the middle rows of the frame are the picture."""
    assert drawn(grey(120, 60), corner(1, 0), PAD)[:10, :20].mean() > 20
    assert drawn(grey(120, 60), corner(0, 0), PAD).mean() < 6


def test_nothing_is_drawn_where_nothing_speaks_for_the_class() -> None:
    assert map_overlay.overlay(grey(60, 60), np.zeros((6, 6), np.float32), STRETCH, 6) is None


def test_the_square_in_the_corner_is_one_cell() -> None:
    raw = map_overlay.overlay(grey(120, 120), corner(5, 5), STRETCH, 6)
    assert raw is not None
    with Image.open(io.BytesIO(raw)) as opened:
        bright = np.asarray(opened.convert("L"))[:60, :60] > 180
    assert np.argwhere(bright).max(axis=0).tolist() == [20, 20]
