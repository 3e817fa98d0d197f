"""How two pictures that are twins lie to one another: mirrored, turned, or the same way round."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE_PX = 32
# The eight flips and rotations of a square, as (mirrored, quarter turns).
VIEWS = {
    (False, 0): "same way round",
    (True, 0): "mirrored left to right",
    (False, 2): "turned upside down",
    (True, 2): "mirrored top to bottom",
    (False, 1): "turned by a quarter",
    (False, 3): "turned by a quarter",
    (True, 1): "mirrored and turned by a quarter",
    (True, 3): "mirrored and turned by a quarter",
}


def view(first: bytes, other: bytes) -> str:
    """Which flip or rotation of ``other`` is most like ``first``; both PNG or JPEG, vetted."""
    still, moving = _centred(first), _centred(other)
    scores = {
        key: float((still * np.rot90(moving[:, ::-1] if key[0] else moving, key[1])).sum())
        for key in VIEWS
    }
    plain, best = scores[False, 0], max(scores, key=lambda key: scores[key])
    # A symmetric picture is as like when mirrored: then nothing says that it was.
    return VIEWS[best] if scores[best] > plain * 1.01 else VIEWS[False, 0]


def _centred(raw: bytes) -> NDArray[np.float64]:
    with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as opened:
        small = opened.convert("L").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float64)
    centred: NDArray[np.float64] = grey - grey.mean()
    return centred
