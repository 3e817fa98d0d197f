"""Pictures side by side."""

import io

import numpy as np
import pytest
from PIL import Image

from neuro.reports import contact_sheet


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_the_pictures_stand_in_their_order_with_white_between(channels: int, mode: str) -> None:
    pixels = np.stack([np.full((5, 5, channels), level, np.uint8) for level in (10, 20, 30)])
    with Image.open(io.BytesIO(contact_sheet.draw(pixels))) as sheet:
        assert (sheet.mode, sheet.size) == (mode, (23, 5))
        levels = np.asarray(sheet.convert("L"))[2]
    assert [int(levels[at]) for at in (2, 7, 11, 20)] == [10, 255, 20, 30]
