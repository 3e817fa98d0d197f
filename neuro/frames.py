"""A pinned release as pixels: one memory-mapped uint8 array that trainer and predictor read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Pixels and facts of every sample of a release, row by row in sample_id order.

    pixels: (n, size, size, channels) uint8, memory-mapped and read-only. sample_ids, groups,
    splits: (n,) str. targets: (n,) int64 class index in the problem's order, -1 without a label.
    """

    pixels: NDArray[np.uint8]
    sample_ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    splits: NDArray[np.str_]
    targets: NDArray[np.int64]
    content_hash: str
    preprocess_hash: str

    def labelled(self, split: str) -> NDArray[np.int64]:
        """Row numbers of the labelled samples of one split, (m,) int64."""
        return np.flatnonzero((self.splits == split) & (self.targets >= 0)).astype(np.int64)
