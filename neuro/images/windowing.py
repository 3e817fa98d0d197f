"""Deep pixels to 8 bits: the one place that says which value becomes black and which white."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Single hot pixels (metal, dead detector cells, burned-in marks) would flatten the whole picture:
# nnU-Net clips at the same two (arXiv:1809.10486, section 2.2).
PERCENTILES = (0.5, 99.5)
PERCENTILE_RULE = "0.5-99.5 percentile"
_COUNTED = 4_000_000  # values at most that the percentiles are taken of, evenly from all
_BLOCK = 1 << 20  # values at a time: a 50 megapixel float picture must fit into a child's memory

Numbers = NDArray[Any]
Tone = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A DICOM value-of-interest window, in the units of the modality (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def is_valid(self) -> bool:
        """The standard's own limits on the width; an unknown function is not guessed at."""
        least = {"LINEAR": 1.0, "LINEAR_EXACT": 1e-12, "SIGMOID": 1e-12}
        finite = bool(np.isfinite([self.center, self.width]).all())
        return finite and self.width >= least.get(self.function, np.inf)

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Brightness in 0..1, before clipping."""
        if self.function == "SIGMOID":
            steep = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return np.asarray(1 / (1 + np.exp(steep)))
        if self.function == "LINEAR_EXACT":
            return (values - self.center) / self.width + 0.5
        if self.width == 1:  # a threshold: the division below would be by zero
            return (values > self.center - 0.5).astype(np.float64)
        return (values - (self.center - 0.5)) / (self.width - 1) + 0.5


def span(low: float, high: float) -> Tone:
    """Linear: ``low`` is black, ``high`` is white."""
    return lambda values: (values - low) / ((high - low) or 1.0)


def percentiles(values: Numbers, ignored: float | None = None) -> tuple[float, float]:
    """The two values between which a picture is shown when nothing says how to show it.

    ignored: the value of pixels that are padding. Infinite and missing values do not count. Where
    both percentiles fall on one value (a thin mask) the full range is taken.
    """
    counted = values.ravel()[:: 1 + values.size // _COUNTED]
    if values.dtype.kind == "f":
        counted = counted[np.isfinite(counted)]
    if ignored is not None:
        counted = counted[counted != ignored]
    if not counted.size:
        return 0.0, 0.0
    # "nearest" keeps the type: no copy of eight bytes a value.
    low, high = (float(v) for v in np.percentile(counted, PERCENTILES, method="nearest"))
    if low == high:
        low, high = float(counted.min()), float(counted.max())
    return low, high


def to_eight_bit(values: Numbers, tone: Tone) -> NDArray[np.uint8]:
    """Values of any shape as uint8, rounded; outside 0..1 is clipped, not-a-number is black."""
    flat = values.reshape(-1)
    shown = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), _BLOCK):
        block = tone(flat[start : start + _BLOCK].astype(np.float64))
        bright = np.nan_to_num(np.clip(block, 0, 1), nan=0.0) * 255 + 0.5
        shown[start : start + _BLOCK] = bright.astype(np.uint8)
    return shown.reshape(values.shape)
