"""What baselines read of a release beside the pixels: thumbnails, confounds, descriptors."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neuro.dataset import metadata
from neuro.duplicates import twins
from neuro.evaluation.baselines import Inputs, Table
from neuro.images.thumbnail import THUMBNAIL_PX
from neuro.lake import images, sample_metadata
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.passport import confounds


def read(lake: Lake, release: Release, sample_ids: Sequence[str], descriptors: Table) -> Inputs:
    """The inputs of samples, in their order. descriptors: theirs, (n, d)."""
    in_order = [bytes(row) for row in images.thumbnails(lake, release, sample_ids)]
    thumbnails = dict(zip(sample_ids, in_order, strict=True))
    return Inputs(
        thumbnails=twins.vectors(in_order),
        confounds=_confounds(lake, release, thumbnails, sample_ids),
        descriptors=descriptors,
    )


def _confounds(
    lake: Lake, release: Release, thumbnails: Mapping[str, bytes], sample_ids: Sequence[str]
) -> NDArray[np.float32]:
    """What is not the picture's content, (n, d), in the order of the sample_ids."""
    samples, shapes = sample_metadata.known(lake, release, sample_ids)
    names = samples["sha256"].to_pylist()
    pixels = np.frombuffer(b"".join(thumbnails[name] for name in names), np.uint8)
    border = confounds.border(pixels.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX))
    matrix = confounds.matrix({**metadata.read(samples, shapes), **border})
    row_of = {name: row for row, name in enumerate(names)}
    rows = np.array([row_of[sample_id] for sample_id in sample_ids], np.int64)
    return np.take(matrix, rows, axis=0)
