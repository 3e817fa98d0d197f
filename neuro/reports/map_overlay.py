"""A class map over its picture: colour where the map is high, elsewhere the picture itself."""

import io
from typing import Literal

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from neuro.explanation import faithfulness
from neuro.images.preprocess import PreprocessSpec

MOST = 0.6  # share of colour where the map is highest
_QUALITY = 82


def overlay(
    small: bytes,
    map_: NDArray[np.float32],
    spec: PreprocessSpec,
    cells: int,
    form: Literal["JPEG", "PNG"] = "JPEG",
) -> bytes | None:
    """A file of the picture's size; None where nothing speaks for the class.

    small: the picture as pages show it. map_: (grid, grid), of the frame that the spec makes of
    it. cells: how many places across the frame it can tell apart: the square in the upper left
    corner is one of these, and the map says nothing finer.
    """
    if not map_.max() > 0:
        return None
    with Image.open(io.BytesIO(small), formats=("PNG", "JPEG")) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    heat = faithfulness.enlarged(map_[None] / map_.max(), 2 * max(picture.size))[0]
    frame = Image.fromarray(heat)
    box = (0.0, 0.0, float(frame.width), float(frame.height))
    if spec.fit == "pad":  # the picture is the middle of the frame
        longest = max(picture.size)
        across, down = ((1 - side / longest) / 2 * frame.width for side in picture.size)
        box = (across, down, frame.width - across, frame.height - down)
    share = np.asarray(frame.resize(picture.size, Image.Resampling.BILINEAR, box=box))[..., None]
    share = np.clip(share, 0, 1)
    colour = colormaps["inferno"](share[..., 0])[..., :3] * 255
    plain = np.asarray(picture, np.float32)
    mixed = plain + (colour - plain) * share * MOST
    drawn = Image.fromarray(np.rint(mixed).astype(np.uint8))
    of_frame = max(picture.size) if spec.fit == "pad" else None
    cell = [(of_frame or side) / cells for side in (width, height)]
    ImageDraw.Draw(drawn).rectangle((1, 1, cell[0], cell[1]), outline=(255, 255, 255))
    buffer = io.BytesIO()
    if form == "PNG":
        drawn.save(buffer, form)
    else:
        drawn.save(buffer, form, quality=_QUALITY, optimize=True)
    return buffer.getvalue()
