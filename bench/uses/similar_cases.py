"""The nearest picture of another group: how often it has the same label."""

import numpy as np
from numpy.typing import NDArray

from bench.uses import compared, pictures
from bench.uses.compared import Row, Scored
from bench.uses.pictures import Pictures, Vectors
from neuro.duplicates import pose_invariants
from neuro.features.encoders import Thumb


def measure(data: Pictures, pretrained: Vectors, random: Vectors) -> list[Row]:
    thumb = pictures.encode("thumb", Thumb(), data.stored)
    parts = pose_invariants.split(thumb.rows)
    pixels = pictures.encode("pixels_pca", pictures.components(data), data.stored)
    ways = {
        thumb.name: (thumb, pose_invariants.best_cosines(parts, parts)),
        pixels.name: (pixels, pixels.cosines),
        random.name: (random, random.cosines),
    }
    new = Scored(
        way=pretrained.name, scores=_hits(pretrained.cosines, data), cpu_s=pretrained.cpu_s
    )
    return [
        compared.compare(
            "similar",
            data.name,
            Scored(way=name, scores=_hits(cosines, data), cpu_s=vectors.cpu_s),
            new,
            data.groups,
        )
        for name, (vectors, cosines) in ways.items()
    ]


def _hits(cosines: NDArray[np.float32], data: Pictures) -> NDArray[np.float64]:
    """1 where the nearest picture of another group has the same label, (n,)."""
    is_own = data.groups[:, None] == data.groups[None]
    nearest = np.where(is_own, -np.inf, cosines).argmax(axis=1)
    hits: NDArray[np.float64] = (data.labels[nearest] == data.labels).astype(np.float64)
    return hits
