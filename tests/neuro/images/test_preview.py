"""The picture of a sample as pages show it."""

import io

import numpy as np
import pytest
from PIL import Image

from neuro.images import preview


def stored(mode: str, kind: str, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(
        buffer, kind, comment="Erika Mustermann" if kind == "JPEG" else None
    )
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("size", "small"), [((512, 256), (128, 64)), ((40, 90), (40, 90)), ((1024, 1024), (128, 128))]
)
def test_it_is_at_most_128_px_a_side(
    mode: str, kind: str, size: tuple[int, int], small: tuple[int, int]
) -> None:
    with Image.open(io.BytesIO(preview.small(stored(mode, kind, size)))) as picture:
        assert (picture.size, picture.mode) == (small, mode)


def test_it_carries_no_comment_of_the_file() -> None:
    assert b"Mustermann" not in preview.small(stored("L", "JPEG", (64, 64)))


def test_it_is_the_same_bytes_each_time() -> None:
    """Or an erasure could not search for it."""
    raw = stored("RGB", "PNG", (300, 200))
    assert preview.small(raw) == preview.small(raw)
