"""A training frame: the samples of one release joined with their vectors, nothing of later data."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from neuro import limits
from neuro.errors import ConfigError
from neuro.lake import features, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release

COLUMNS = ("sample_id", "label", "class", "group_id", "split", "given_split", "entered")
FITTED = ("train", "val", "calibration")  # what a model may be fitted and chosen on
_READ = tuple(column for column in COLUMNS if column != "class")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which vectors a frame takes. names: of each number, () for one column ``vector``."""

    features: str
    encoder_hash: str
    names: tuple[str, ...] = ()


def tables(
    lake: Lake,
    release: Release,
    wanted: Wanted,
    class_of: Callable[[str], str],
    splits: Sequence[str] = FITTED,
) -> Iterator[pa.Table]:
    """The release's samples of these splits, part after part, with labels as they were then.

    The vectors are those of ``wanted``'s encoder, by sample_id. What came is true only when it has
    ended (``releases.parts``). Raises ConfigError where one was never computed.
    """
    for part in releases.parts(lake, release, _READ):
        rows = part.filter(pc.is_in(part["split"], pa.array(splits, pa.string())))
        vectors = features.read(
            lake, wanted.features, wanted.encoder_hash, rows["sample_id"].to_pylist()
        )
        classes = [class_of(label) for label in rows["label"].to_pylist()]
        rows = rows.append_column("class", pa.array(classes, pa.string())).select(COLUMNS)
        for name, column in _columns(vectors.astype(np.float32), wanted.names).items():
            rows = rows.append_column(name, column)
        if rows.num_rows:
            yield rows


def write(parts: Iterator[pa.Table], about: Mapping[str, str], path: Path) -> int:
    """Write a frame as Parquet, whole or not at all; returns its rows. about: kept in it.

    Raises ConfigError for a frame without a row.
    """
    first = next(parts, None)
    if first is None:
        raise ConfigError("the frame has no row: no sample of the release is in these splits")
    schema = first.schema.with_metadata({"neuro": json.dumps(dict(about))})
    scratch = path.with_name(f".{path.name}.part")
    with limits.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        open_frame = pq.ParquetWriter(scratch, schema)
    rows = 0
    try:
        with open_frame as writer:
            for part in chain([first], parts):
                writer.write_table(part.replace_schema_metadata(schema.metadata))
                rows += part.num_rows
        with limits.writing(path):
            scratch.rename(path)
    finally:
        scratch.unlink(missing_ok=True)
    return rows


def _columns(
    vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", names: tuple[str, ...]
) -> dict[str, pa.Array]:
    if names:
        return {name: pa.array(vectors[:, place]) for place, name in enumerate(names)}
    flat = pa.array(vectors.ravel())
    return {"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}
