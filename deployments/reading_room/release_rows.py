"""The samples of a release as a table in memory, and which of them a person wants to see."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release

COLUMNS = ("sample_id", "group_id", "split", "label", "source_name")
_KEPT = 2  # releases whose rows are kept, by content


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """What is wanted; "" for anything. beginning: of the digest of an image or a group."""

    label: str | None = None
    split: str = ""
    beginning: str = ""


class ReleaseRows:
    """Rows of the releases that were looked at last; some 200 bytes for each sample."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()

    def table(self, lake: Lake, release: Release) -> pa.Table:
        """All rows, sorted by sample_id. Raises ErasedError where some of them were erased."""
        releases.place(lake, release)
        key = release.content_hash
        if key not in self._tables:
            parts = list(releases.parts(lake, release, COLUMNS))
            self._tables[key] = pa.concat_tables(parts).combine_chunks()
            while len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        return self._tables[key]


def chosen(rows: pa.Table, wanted: Filter, only: Collection[str] | None = None) -> pa.Table:
    """The rows that are wanted. only: sample_ids, None for all."""
    if wanted.label is not None:
        rows = rows.filter(pc.equal(rows["label"], wanted.label))
    if wanted.split:
        rows = rows.filter(pc.equal(rows["split"], wanted.split))
    if beginning := wanted.beginning.strip().lower():
        is_image = pc.starts_with(rows["sample_id"], beginning)
        rows = rows.filter(pc.or_(is_image, pc.starts_with(rows["group_id"], beginning)))
    if only is not None:
        rows = rows.filter(pc.is_in(rows["sample_id"], pa.array(sorted(only), pa.string())))
    return rows


def hiding(rows: pa.Table, hidden: Collection[str], said: str) -> pa.Table:
    """The same with something else said in place of some labels; "": without these samples."""
    is_hidden = pc.is_in(rows["sample_id"], pa.array(sorted(hidden), pa.string()))
    if not said:
        return rows.filter(pc.invert(is_hidden))
    labels = pc.if_else(is_hidden, said, rows["label"])
    return rows.set_column(rows.column_names.index("label"), "label", labels)


def in_groups_of_several(rows: pa.Table) -> set[str]:
    """The samples whose group has others: twins, or images of one patient or lesion."""
    counted = rows["group_id"].value_counts()
    several = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
    return set(rows["sample_id"].filter(pc.is_in(rows["group_id"], several)).to_pylist())
