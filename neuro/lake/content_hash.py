"""The samples of one state of the tables, each with its newest label, and their content hash.

They come as columns: a column of a million digests is 64 MB and hashed in a fraction of a second,
as many Python objects are neither. They come in partitions by digest, so that memory does not grow
with the release; objects are made where a caller asks for them.
"""

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from neuro.lake import digest_partitions, scans
from neuro.lake.digest_partitions import Partitions
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.sample import Sample

# Those that the content hash is made of, in the order of its lines.
HASHED = ("sample_id", "label", "group_id", "split")
FIELDS = ("sample_id", "group_id", "split", "given_split", "label", "source_name", "entered")
_OF_SAMPLES = ("group_id", "split", "given_split", "source_name")  # fields that `samples` has


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What the tables hold of a dataset at these versions, less what is left out.

    entered: the release that a run's samples came with, by run, and by sample where it differs.
    """

    lake: Lake
    dataset: str
    tables: Mapping[str, int]
    left_out: LeftOut
    entered: Mapping[str, str]

    def parts(self, names: Sequence[str] = HASHED, n: int = 0) -> Iterator[pa.Table]:
        """The samples in n partitions by sample_id, and sorted by it in each.

        names: the columns, fields of Sample. n: the number of partitions, 0 for as many as needed.
        """
        runs = ["run_id"] if self.left_out.runs or "entered" in names else []
        of_samples = ["sha256", *runs, *(name for name in names if name in _OF_SAMPLES)]
        of_labels = ["sha256", "sequence", "label", *runs]
        n = n or n_partitions(self.lake, self.tables)
        with (
            self._partitioned("labels", of_labels, n) as labels,
            self._partitioned("samples", of_samples, n) as samples,
        ):
            for number in range(n):
                rows = self.left_out.shown_samples(samples.rows(number)).sort_by("sha256")
                newest_labels = newest(self.left_out.shown_labels(labels.rows(number)))
                yield self._fields(rows, newest_labels, names)

    def hashed(self) -> "Digest":
        """The content hash and the number of samples."""
        digest = Digest()
        for part in self.parts():
            digest.update(part)
        return digest

    def _partitioned(
        self, table: str, columns: list[str], n: int
    ) -> AbstractContextManager[Partitions]:
        where = f"dataset = {quoted(self.dataset)}"
        version = self.lake.at(table, self.tables[table])
        return digest_partitions.partitioned(scans.batches(version, columns, where), n)

    def _fields(self, rows: pa.Table, labels: pa.Table, names: Sequence[str]) -> pa.Table:
        """Rows of samples as the named fields of Sample."""
        fields = {
            "sample_id": rows["sha256"],
            "label": pc.fill_null(_labels_of(rows["sha256"], labels), ""),
        }
        if "entered" in names:
            fields["entered"] = self._entered(rows)
        return pa.table({name: fields[name] if name in fields else rows[name] for name in names})

    def _entered(self, rows: pa.Table) -> pa.ChunkedArray:
        """The release that each sample came with, "" where none is known."""
        causes = pa.array(self.entered.keys(), pa.string())
        came_with = pa.array(self.entered.values(), pa.string())
        by_sample = _looked_up(rows["sha256"], causes, came_with)
        by_run = _looked_up(rows["run_id"], causes, came_with)
        return pc.fill_null(pc.coalesce(by_sample, by_run), "")


class Digest:
    """SHA-256 over the byte-sorted lines ``sha256,source label,group_id,split``, and their number.

    Lines are sorted within a part; every line of a part comes before those of the next.
    """

    def __init__(self) -> None:
        self._sha, self.n = hashlib.sha256(), 0

    def update(self, rows: pa.Table) -> None:
        """Take the next part in."""
        lines = _lines(rows)
        if pc.any(pc.less(lines[1:], lines[:-1])).as_py():  # in a lake, where a key stands twice
            lines = lines.sort()
        self.n += rows.num_rows
        self._sha.update(digest_partitions.joined(lines))

    def hexdigest(self) -> str:
        """The content hash of what was taken in."""
        return self._sha.hexdigest()


def n_partitions(lake: Lake, tables: Mapping[str, int]) -> int:
    """How many partitions keep the memory for one of them small."""
    sizes = [lake.at(name, tables[name]).count_rows() for name in ("labels", "samples")]
    return digest_partitions.n_needed(max(sizes))


def newest(labels: pa.Table) -> pa.Table:
    """Of rows with sha256 and sequence, that with the highest sequence of each image."""
    later = labels["sha256"].filter(pc.greater(labels["sequence"], 0))
    is_changed = pc.is_in(labels["sha256"], value_set=later)  # few are, and joins are slow
    changed = labels.filter(is_changed)
    last = changed.group_by("sha256").aggregate([("sequence", "max")])
    last = last.rename_columns({"sequence_max": "sequence"})
    rows = last.join(changed, ["sha256", "sequence"]).select(labels.column_names)
    return pa.concat_tables([labels.filter(pc.invert(is_changed)), rows.cast(labels.schema)])


def samples(parts: Iterable[pa.Table]) -> list[Sample]:
    """One object a row; about 400 bytes and 2 microseconds each."""
    with _collector_off():
        return [
            Sample(
                sample_id=sample_id,
                group_id=sample_id if group_id == sample_id else group_id,
                split=split,
                given_split=given_split,
                label=label,
                source_name=source_name,
                entered=entered,
            )
            for rows in parts
            for sample_id, group_id, split, given_split, label, source_name, entered in zip(
                *(_strings(rows[name]) for name in FIELDS), strict=True
            )
        ]


def _labels_of(sample_ids: pa.ChunkedArray, labels: pa.Table) -> pa.ChunkedArray:
    """The label of each, null where there is none. sample_ids: in order."""
    if labels.num_rows == len(sample_ids):  # most often each has one: no need to look one up
        labels = labels.select(["sha256", "label"]).sort_by("sha256")
        if labels["sha256"].equals(sample_ids):
            return labels["label"]
    return _looked_up(sample_ids, labels["sha256"], labels["label"])


def _looked_up(
    wanted: pa.ChunkedArray, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray
) -> pa.Array | pa.ChunkedArray:
    """The value of each wanted key, null where there is none."""
    return values.take(pc.index_in(wanted, value_set=keys))


def _lines(rows: pa.Table) -> pa.Array:
    """The lines as bytes; a missing value has always read None."""
    columns = [pc.cast(rows[name], pa.string()) for name in HASHED]
    lines = pc.binary_join_element_wise(
        *columns, ",", null_handling="replace", null_replacement="None"
    )
    return pc.cast(pc.binary_join_element_wise(lines, "\n", ""), pa.binary()).combine_chunks()


def _strings(column: pa.ChunkedArray) -> list[str]:
    """A column as strings; equal ones are one object where there are few, which saves memory."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    if len(encoded.dictionary) > len(column) // 2:
        return list(column.to_pylist())
    names = encoded.dictionary.to_pylist()
    return [names[n] for n in encoded.indices.to_pylist()]


@contextmanager
def _collector_off() -> Iterator[None]:
    """Nothing made here refers back; looking for cycles takes as long as making a million of it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
