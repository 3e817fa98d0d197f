"""Planted near copies and crops: how many each search joins with what they were made of."""

import io
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import plants
from bench.passport import Planted
from bench.rivals import judging
from bench.uses import compared, pictures
from bench.uses.compared import Row, Scored
from bench.uses.pictures import Vectors
from neuro.features.embedding import Backbone
from neuro.images import sanitize
from neuro.splits.draw_splits import Pairs

KINDS = ("mirror", "rotate", "re-encode", "gamma", "crop", "crop 80 %", "crop 60 %")
POSED_PX = 128  # side of the pictures whose eight poses are all encoded
_POSES = 8


def measure(data: Path, name: str, encoder: Backbone, n: int, copies: int, seed: int) -> list[Row]:
    planted = pictures.plant(data, name, KINDS, n, copies, seed)
    stored = [sanitize.clean(real.path.read_bytes()).stored for real in planted.reals]
    stored += [sanitize.clean(copy.raw).stored for copy in planted.copies]
    started = process_time()
    pairs = plants.twins(planted.thumbnails, planted.cosine)
    now_cpu_s = (process_time() - started) / len(stored) * 1000
    joined = int((pairs < len(planted.reals)).all(axis=1).sum())
    kinds = np.array([copy.kind for copy in planted.copies])
    now = _found(pairs, planted)
    rows = []
    for vectors in (
        pictures.encode(pictures.NEW, encoder, stored),
        _mean_of_poses(pictures.at_side(encoder, POSED_PX), stored),
    ):
        new = _found(_nearest_pairs(vectors, len(planted.reals), joined), planted)
        rows += [
            compared.compare(
                f"near copies: {kind}",
                name,
                Scored(way="twins and crops", scores=now[kinds == kind], cpu_s=now_cpu_s),
                Scored(way=vectors.name, scores=new[kinds == kind], cpu_s=vectors.cpu_s),
                np.arange(copies).astype(np.str_),
            )
            for kind in KINDS
        ]
    return rows


def _found(pairs: Pairs, planted: Planted) -> NDArray[np.float64]:
    """1 where a copy is in one cluster with its source, (copies,)."""
    first, source = len(planted.reals), planted.truth.source
    number = judging.clustered(pairs, len(source))
    found: NDArray[np.float64] = (number == number[source])[first:].astype(np.float64)
    return found


def _nearest_pairs(vectors: Vectors, n_reals: int, joined: int) -> Pairs:
    """Pairs above the cosine that joins so many pairs of real images, and at least one."""
    cosines = np.triu(vectors.cosines, 1)
    of_reals = np.sort(cosines[:n_reals, :n_reals].ravel())
    least = of_reals[-max(joined, 1)]
    return np.argwhere(cosines >= least)


def _mean_of_poses(encoder: Backbone, stored: list[bytes]) -> Vectors:
    """Embeddings that no flip and no quarter turn changes, at eight times the cost."""
    frames = [encoder.input.frame(raw) for raw in stored]
    posed = [
        pictures.encode("", encoder, [_lossless(frame, pose) for frame in frames])
        for pose in range(_POSES)
    ]
    return Vectors(
        name=f"{pictures.NEW}, mean of poses, {encoder.input.size_px} px",
        rows=np.mean([vectors.rows for vectors in posed], axis=0),
        cpu_s=sum(vectors.cpu_s for vectors in posed),
    )


def _lossless(frame: NDArray[np.uint8], pose: int) -> bytes:
    turned = np.rot90(frame, pose % 4)
    picture = Image.fromarray(np.ascontiguousarray(turned[:, ::-1] if pose > 3 else turned))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()
