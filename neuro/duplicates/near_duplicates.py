"""Twins: pictures of the same thing, as one in another pose, encoding or light, or as its crop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuro.duplicates import crops, neighbours
from neuro.duplicates.pose_invariants import Vectors
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.splits import assign
from neuro.splits.assign import Pairs


def vectors(thumbnails: Sequence[bytes]) -> Vectors:
    """Mean-removed, unit-length thumbnails, (n, 1024) float32."""
    side = THUMBNAIL_PX
    flat = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, side * side)
    centred = flat.astype(np.float32) - flat.mean(axis=1, keepdims=True, dtype=np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Vectors = centred / np.maximum(length, np.float32(1e-6))
    return unit


def find(rows: Vectors, first: int, cosine: float) -> Pairs:
    """Pairs (i, j), i < j, j >= first, of vectors that are twins, each once. (m, 2) int64.

    cosine: that two reach in the best of eight poses. Below it, one may still be a mild crop of the
    other; of rows that others join already not every such pair is told.
    """
    near = neighbours.near_pairs(rows, first, cosine)
    cropped = crops.pairs(rows, first, assign.connected(len(rows), near))
    return np.unique(np.concatenate([near, cropped]), axis=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Newcomers:
    """Twins of images that came last: with what was there, and among one another.

    ids: sample_ids, the newcomers' from ``first`` on. pairs: (m, 2) rows of ids.
    """

    ids: Sequence[str]
    first: int
    pairs: Pairs

    def completed(self, ids: Sequence[str], vectors: Vectors, cosine: float) -> Pairs:
        """All twins of these images, each once, (m, 2) rows of ids: only old ones are compared."""
        row = {sample_id: number for number, sample_id in enumerate(ids)}
        new = set(self.ids[self.first :])
        old = np.array([n for sample_id, n in row.items() if sample_id not in new], np.int64)
        met = np.array([row.get(sample_id, -1) for sample_id in self.ids], np.int64)[self.pairs]
        met = met[(met >= 0).all(axis=1) & (met[:, 0] != met[:, 1])]  # what is left out is neither
        pairs = np.concatenate([old[find(vectors[old], 0, cosine)], met])
        return np.unique(np.sort(pairs, axis=1), axis=0)


NOBODY = Newcomers(ids=(), first=0, pairs=np.empty((0, 2), np.int64))
