"""What is known of samples beside their pictures: from the file, its header and its table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Column = NDArray[np.float64] | NDArray[np.str_]
Traits = Mapping[str, Column]

REMOVED = "removed"  # kinds of notes that were taken out of a file, between semicolons
_IMAGE = ("mode", "width", "height")


def read(samples: pa.Table, images: pa.Table) -> Traits:
    """One column (n,) for each trait, in the order of the samples.

    samples: sha256, source, metadata. images: sha256, mode, width, height. Numbers are float64 with
    NaN where unknown, everything else str_ with "" where unknown.
    """
    metadata = [json.loads(text or "{}") for text in samples["metadata"].to_pylist()]
    image_rows = {row["sha256"]: row for row in images.select(["sha256", *_IMAGE]).to_pylist()}
    rows = [image_rows.get(sample_id, {}) for sample_id in samples["sha256"].to_pylist()]
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in _IMAGE}
    for name in sorted({name for values in metadata for name in values}):
        columns.setdefault(name, [values.get(name) for values in metadata])
    columns["source"] = samples["source"].to_pylist()
    return {name: _column(values) for name, values in columns.items()}


def _column(values: Sequence[Any]) -> Column:
    """Numbers if all that is known are numbers, also those that a table wrote as text."""
    known = ["" if value is None else value for value in values]
    try:
        return np.array([np.nan if value == "" else float(value) for value in known], np.float64)
    except ValueError:
        return np.array([str(value) for value in known], np.str_)
