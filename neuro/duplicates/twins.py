"""Twins: pictures of the same thing, as one in another pose, encoding or light, or as its crop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuro.duplicates import crops, near_pairs
from neuro.duplicates.pose_invariants import Vectors
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.splits import draw_splits
from neuro.splits.draw_splits import Pairs


def vectors(thumbnails: Sequence[bytes]) -> Vectors:
    """Mean-removed, unit-length thumbnails, (n, 1024) float32; zeros for a flat one."""
    flat = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, THUMBNAIL_PX**2)
    centred = flat.astype(np.float32) - flat.mean(axis=1, keepdims=True, dtype=np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Vectors = centred / np.maximum(length, np.float32(1e-6))
    return unit


def find(rows: Vectors, first: int, cosine: float) -> Pairs:
    """Pairs (i, j), i < j, j >= first, of vectors that are twins, each once. (m, 2) int64.

    Twins reach the cosine in the best of eight poses, or one is a mild crop of the other. Crops are
    looked for only among rows that near copies have not joined already.
    """
    near = near_pairs.near_pairs(rows, first, cosine)
    cropped = crops.pairs(rows, first, draw_splits.connected(len(rows), near))
    return np.unique(np.concatenate([near, cropped]), axis=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Newcomers:
    """Twins of images that came last: with images that were there, and among one another.

    ids: sample_ids, those of the new images from ``first`` on. pairs: (m, 2) rows of ids.
    """

    ids: Sequence[str]
    first: int
    pairs: Pairs

    def completed(self, ids: Sequence[str], vectors: Vectors, cosine: float) -> Pairs:
        """All twins of these images, each once, (m, 2) rows of ids: only old ones are compared."""
        new_ids = set(self.ids[self.first :])
        old = np.array([row for row, name in enumerate(ids) if name not in new_ids], np.int64)
        row_of = {name: row for row, name in enumerate(ids)}
        rows = np.array([row_of.get(name, -1) for name in self.ids], np.int64)  # -1: left out
        known = rows[self.pairs]
        known = known[(known >= 0).all(axis=1) & (known[:, 0] != known[:, 1])]
        pairs = np.concatenate([old[find(vectors[old], 0, cosine)], known])
        return np.unique(np.sort(pairs, axis=1), axis=0)


NOBODY = Newcomers(ids=(), first=0, pairs=np.empty((0, 2), np.int64))
