"""The one reader of the table ``images``: rows by digest, a bounded number of bytes at a time.

Stored bytes are compared with their digest before anybody sees them.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from neuro.errors import DamagedError
from neuro.lake import scans
from neuro.lake.lake import Lake, among
from neuro.lake.releases import Release, place
from neuro.sample import Sample

FEW = 4096  # digests in one filter
_SHARE = 8  # of more than an eighth of a table's rows the whole table is read
_CHECKED = ["sha256", "stored", "stored_sha256"]
_FACTS = ["sha256", "stored_sha256", "media_type", "width", "height", "mode"]


def read(
    lake: Lake,
    version: lance.LanceDataset,
    columns: list[str],
    wanted: Collection[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows of one version of the table. A read that breaks off goes on where it was.

    columns: sha256 among them. wanted: sample_ids, None for every row. Of few the rows are looked
    up by name, of many the whole table is read, and the others' rows are dropped.
    """
    names = list(wanted or ())
    if wanted is None or len(names) > max(FEW, version.count_rows() // _SHARE):
        chosen = frozenset(names)
        for batch in lake.scan("read images", partial(scans.batches, version, columns, None)):
            is_chosen = [wanted is None or name in chosen for name in batch["sha256"].to_pylist()]
            yield batch.filter(pa.array(is_chosen, pa.bool_()))
        return
    for some in chunks(names):
        where = among("sha256", some)
        begin = partial(scans.batches, version, columns, where, most=len(some))
        yield from lake.scan("read images", begin)


def pairs(batches: Iterable[pa.RecordBatch | pa.Table], column: str) -> Iterator[tuple[str, Any]]:
    """Yield (sample_id, value) of one column."""
    for batch in batches:
        for sample_id, value in zip(batch["sha256"], batch[column], strict=True):
            yield sample_id.as_py(), value.as_py()


def chunks(digests: Collection[str]) -> Iterator[list[str]]:
    """The digests, so many at a time as a filter may list."""
    names = list(digests)
    for start in range(0, len(names), FEW):
        yield names[start : start + FEW]


def stored_bytes(
    lake: Lake, release: Release, wanted: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield (sample_id, bytes) of the wanted samples.

    Raises DamagedError naming the sample if its bytes do not match their digest, or if some are
    missing from the release.
    """
    missing = set(wanted)
    for sample_id, raw, is_whole in _checked(lake, release, wanted):
        if not is_whole:
            raise DamagedError(
                f"image {sample_id[:12]} of {release.name} is damaged in the lake; "
                "`neuro verify` lists all that are"
            )
        yield sample_id, raw
        missing.discard(sample_id)
    _require_all(release, len(missing))


def undamaged(lake: Lake, release: Release, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (sample_id, bytes) of those of the wanted samples that are there and whole.

    For pages, which can do without one; `neuro verify` lists what is damaged.
    """
    for sample_id, raw, is_whole in _checked(lake, release, wanted):
        if is_whole:
            yield sample_id, raw


def damaged(lake: Lake, release: Release, samples: Collection[Sample]) -> list[str]:
    """Sample ids whose stored bytes do not match their digest, or are gone; sorted."""
    wanted = {sample.sample_id for sample in samples}
    whole = {sample_id for sample_id, _, ok in _checked(lake, release, wanted) if ok}
    return sorted(wanted - whole)


def in_order(lake: Lake, release: Release, wanted: Collection[str]) -> list[str]:
    """The wanted samples in the table's order, in which they are read fastest.

    Raises DamagedError if some are missing from the release.
    """
    chosen = frozenset(wanted)
    ordered: list[str] = []
    for batch in read(lake, version_of(lake, release), ["sha256"]):
        ordered += [sample_id for sample_id in batch["sha256"].to_pylist() if sample_id in chosen]
    _require_all(release, len(chosen) - len(ordered))
    return ordered


def facts(
    lake: Lake, release: Release, wanted: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """stored_sha256, media_type, width, height and mode of stored images, by sample_id."""
    batches = read(lake, version_of(lake, release), _FACTS, wanted)
    return {row.pop("sha256"): row for batch in batches for row in batch.to_pylist()}


def format_of(facts: Mapping[str, Any]) -> str:
    """Size and pixel mode of an image as it came, in words."""
    return f"{facts['width']}x{facts['height']} {facts['mode']}"


def thumbnails(lake: Lake, release: Release, wanted: Sequence[str]) -> NDArray[np.uint8]:
    """Thumbnails of the wanted samples in their order, (n, 1024) uint8.

    Raises DamagedError if some are missing from the release.
    """
    row_of = {sample_id: row for row, sample_id in enumerate(wanted)}
    small = np.zeros((len(wanted), 1024), np.uint8)
    n_missing = len(row_of)
    batches = read(lake, version_of(lake, release), ["sha256", "thumbnail"], wanted)
    for sample_id, raw in pairs(batches, "thumbnail"):
        small[row_of[sample_id]] = np.frombuffer(raw, np.uint8)
        n_missing -= 1
    _require_all(release, n_missing)
    return small


def version_of(lake: Lake, release: Release) -> lance.LanceDataset:
    """The version of the table that a release pins. Raises ErasedError if some of it was erased."""
    return place(lake, release).at("images", release.tables["images"])


def _require_all(release: Release, n_missing: int) -> None:
    if n_missing:
        raise DamagedError(f"{n_missing} images of {release.name} are missing from the lake")


def _checked(
    lake: Lake, release: Release, wanted: Collection[str]
) -> Iterator[tuple[str, bytes, bool]]:
    """(sample_id, bytes, whether they match their digest) of the wanted samples that are there."""
    for batch in read(lake, version_of(lake, release), _CHECKED, wanted):
        for sample_id, raw, digest in zip(*(batch[name] for name in _CHECKED), strict=True):
            stored = raw.as_py()
            is_whole = hashlib.sha256(stored).hexdigest() == digest.as_py()
            yield sample_id.as_py(), stored, is_whole
