"""Some pictures side by side in one PNG."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP_PX = 4


def draw(pixels: NDArray[np.uint8]) -> bytes:
    """A row of pictures, in their order. pixels: (n, side, side, 1 or 3) uint8, n above 0."""
    n, side, _, channels = pixels.shape
    sheet = np.full((side, n * (side + _GAP_PX) - _GAP_PX, channels), 255, np.uint8)
    for number, picture in enumerate(pixels):
        left = number * (side + _GAP_PX)
        sheet[:, left : left + side] = picture
    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(buffer, format="PNG")
    return buffer.getvalue()
