"""The images of a release in shards, worked on wherever the run's task runner puts them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuro.dataset import frames
from neuro.dataset.frames import Part
from neuro.errors import ConfigError
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import images
from neuro.lake.features import Vector
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from tasks.runtime import settings
from tasks.runtime.steps import step

if TYPE_CHECKING:  # it imports ONNX Runtime, whose threads no ingest needs
    from neuro.features.encoders import Encoder

PIECE = 64  # images whose bytes an encoder is given at once

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Some images of a release: all that a worker is told of them.

    lake travels as its address, without credentials; release without its passport. revision and
    lock_hash are of the code that cut it, as in ``tasks.runtime.settings``.
    """

    lake: Lake
    release: Release
    sample_ids: tuple[str, ...]
    revision: str
    lock_hash: str


def encode(
    lake: Lake, release: Release, encoder: "Encoder", wanted: Sequence[str]
) -> dict[str, Vector]:
    """Vectors of the wanted images, by sample_id; nothing is stored.

    The encoder is pickled, and may be used by several threads. Cut in the order of the images
    table, so that a shard is read in one go, and the same on every runner. Raises DamagedError if
    an image is damaged or missing.
    """
    vectors: dict[str, Vector] = {}
    for sample_ids, matrix in encode_shard.stream(
        cut(lake, release, wanted), encoder, encoder.digest
    ):
        vectors |= zip(sample_ids, matrix, strict=True)
        _log.info("%d of %d images encoded", len(vectors), len(wanted))
    return vectors


def decode(
    lake: Lake, release: Release, wanted: Sequence[str], spec: PreprocessSpec | None
) -> Iterator[Part]:
    """Frames of the wanted images, shard by shard; without a spec they are only checked.

    Raises DamagedError if an image is damaged or missing.
    """
    n = 0
    for part in decode_shard.stream(cut(lake, release, wanted), spec):
        n += len(part[0])
        _log.info("%d of %d images %s", n, len(wanted), "checked" if spec is None else "decoded")
        yield part


def cut(lake: Lake, release: Release, wanted: Sequence[str]) -> list[Shard]:
    """Shards of NEURO_SHARD images each, the last one smaller.

    Raises DamagedError if an image is missing from the release.
    """
    here = settings.load()
    bare = replace(release, passport={}, left_out=LeftOut())
    ordered = images.in_order(lake, release, wanted)
    return [
        Shard(
            lake=lake,
            release=bare,
            sample_ids=tuple(ordered[start : start + here.shard]),
            revision=here.revision,
            lock_hash=here.lock_hash,
        )
        for start in range(0, len(ordered), here.shard)
    ]


@step(name="encode shard")
def encode_shard(
    shard: Shard, encoder: "Encoder", digest: str
) -> tuple[list[str], NDArray[np.float32]]:
    """Sample ids of a shard and their vectors, (n, d) float32, where the worker is.

    digest: of the encoder, where it was sent from. Raises ConfigError if this worker makes another
    one of it, runs other code, or does not have the lake's folder.
    """
    _require_same(shard)
    if encoder.digest != digest:
        raise ConfigError(
            f"the encoder has digest {encoder.digest[:12]} on this worker and {digest[:12]} where "
            "it comes from; install the same version of neuro on every machine"
        )
    sample_ids: list[str] = []
    matrices, piece = [], []
    for sample_id, raw in images.stored_bytes(shard.lake, shard.release, shard.sample_ids):
        sample_ids.append(sample_id)
        piece.append(raw)
        if len(piece) == PIECE or len(sample_ids) == len(shard.sample_ids):
            matrices.append(np.asarray(encoder.encode(piece), np.float32))
            piece = []
    return sample_ids, np.concatenate(matrices)


@step(name="decode shard")
def decode_shard(shard: Shard, spec: PreprocessSpec | None) -> Part:
    """Sample ids of a shard and their frames, where the worker is; each image is checked.

    Raises what ``encode_shard`` raises of a worker.
    """
    _require_same(shard)
    return frames.decode(images.stored_bytes(shard.lake, shard.release, shard.sample_ids), spec)


def require_same_code(revision: str, lock_hash: str) -> None:
    """Raise ConfigError where a shard comes from another commit or lock than this worker's."""
    here = settings.load()
    for what, theirs, ours in (
        ("commit", revision, here.revision),
        ("lock", lock_hash, here.lock_hash),
    ):
        if theirs != ours and "unknown" not in (theirs, ours) and "" not in (theirs, ours):
            raise ConfigError(
                f"this worker has {what} {ours[:12]} of neuro and the run {theirs[:12]}; "
                "install the same version on every machine"
            )


def _require_same(shard: Shard) -> None:
    require_same_code(shard.revision, shard.lock_hash)
    if shard.lake.place is None and not Path(shard.lake.uri).is_dir():
        raise ConfigError(
            f"lake {shard.lake.uri} is not on this worker; a cluster of several machines needs a "
            "lake on S3, or in a folder that all of them share"
        )
