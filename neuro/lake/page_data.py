"""What pages read of a release: a few of its images, its thumbnails, its samples' metadata."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release, place
from neuro.lake.scans import batches, narrow


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What came with a sample: the source, and its metadata, the values as delivered."""

    source: str
    metadata: Mapping[str, Any]


_AT_ONCE = 16  # images; each may take megabytes


def images(lake: Lake, release: Release, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (sample_id, stored bytes) of some samples without reading the others.

    Those whose bytes are gone or do not match their digest are left out: a page can do without,
    and `neuro verify` lists them.
    """
    dataset = place(lake, release).at("images", release.tables["images"])
    columns = ["sha256", "stored", "stored_sha256"]
    for start in range(0, len(wanted), _AT_ONCE):
        among = ", ".join(quoted(sample_id) for sample_id in wanted[start : start + _AT_ONCE])
        read = partial(dataset.to_table, columns=columns, filter=f"sha256 IN ({among})")
        for row in lake.insist("read some images", read).to_pylist():
            if hashlib.sha256(row["stored"]).hexdigest() == row["stored_sha256"]:
                yield row["sha256"], row["stored"]


def thumbnails(lake: Lake, release: Release, wanted: Sequence[str]) -> NDArray[np.uint8]:
    """Thumbnails of the wanted samples in their order, (n, 1024) uint8."""
    dataset = place(lake, release).at("images", release.tables["images"])
    asked = pa.array(wanted, pa.string())
    found = np.zeros((len(wanted), 1024), np.uint8)
    for batch in batches(dataset, ["sha256", "thumbnail"]):
        rows = pc.index_in(batch["sha256"], value_set=asked)
        for row, small in zip(rows.to_pylist(), batch["thumbnail"].to_pylist(), strict=True):
            if row is not None:
                found[row] = np.frombuffer(small, np.uint8)
    return found


def described(lake: Lake, release: Release) -> dict[str, Described]:
    """What the source says of each sample, by sample_id."""
    dataset = place(lake, release).at("samples", release.tables["samples"])
    where = f"dataset = {quoted(release.dataset)}"
    found: dict[str, Described] = {}
    for batch in narrow(dataset, ["sha256", "source", "metadata"], where):
        for row in batch.to_pylist():
            told = json.loads(row["metadata"] or "{}")
            found[row["sha256"]] = Described(source=row["source"] or "", metadata=told)
    return found


def encoders(lake: Lake, name: str) -> Counter[str]:
    """How many vectors of a feature set each encoder made, by its hash; none where there is none.

    Of a set whose width has changed, only those of the first width.
    """
    table = f"features_{name}"
    if not lake.has(table):
        return Counter()
    return Counter(lake.read(table, columns=["encoder_hash"])["encoder_hash"].to_pylist())
