"""The samples of one state of the tables, each with its newest label, as columns.

A column of a million digests is 64 MB and hashed in a fraction of a second; as many Python objects
are neither. Columns come by ranges of digests, so that their memory does not grow with the release;
objects are made where a caller asks for them.
"""

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from neuro.lake import digest_partitions
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.lake.scans import narrow
from neuro.sample import Sample

# Those that the content hash is made of, in the order of its lines.
HASHED = ("sample_id", "label", "group_id", "split")
FIELDS = ("sample_id", "group_id", "split", "given_split", "label", "source_name", "entered")
_ROWS = 1 << 16  # of one piece of text that is hashed: about 10 MB
_HELD = ("group_id", "split", "given_split", "source_name")  # fields that `samples` has


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
        """The samples by n ranges of sample_id, and sorted by it in each.

        names: the columns, fields of Sample. n: the number of ranges, 0 for as many as are needed.
        """
        runs = ["run_id"] if self.left_out.runs or "entered" in names else []
        held = ["sha256", *runs, *(name for name in names if name in _HELD)]
        n = n or n_ranges(self.lake, self.tables)
        with (
            self._dealt("labels", ["sha256", "sequence", "label", *runs], n) as said,
            self._dealt("samples", held, n) as samples,
        ):
            for number in range(n):
                labels = newest(self.left_out.shown_labels(said.rows(number)))
                rows = digest_partitions.in_order(self.left_out.shown_samples(samples.rows(number)))
                yield self._fields(rows, labels, names)

    def hashed(self) -> "Digest":
        """The content hash and the number of samples."""
        found = Digest()
        for part in self.parts():
            found.update(part)
        return found

    def _dealt(
        self, table: str, columns: list[str], n: int
    ) -> AbstractContextManager[digest_partitions.Dealt]:
        where = f"dataset = {quoted(self.dataset)}"
        version = self.lake.at(table, self.tables[table])
        return digest_partitions.dealt(narrow(version, columns, where), n)

    def _fields(self, rows: pa.Table, labels: pa.Table, names: Sequence[str]) -> pa.Table:
        said = _labels(rows["sha256"], labels)
        known = {"sample_id": rows["sha256"], "label": pc.fill_null(said, "")}
        if "entered" in names:
            pair = (self.entered, self.entered.values())
            causes, came = (pa.array(texts, pa.string()) for texts in pair)
            by_sample = _looked_up(rows["sha256"], causes, came)
            by_run = _looked_up(rows["run_id"], causes, came)
            known["entered"] = pc.fill_null(pc.coalesce(by_sample, by_run), "")
        return pa.table({name: known[name] if name in known else rows[name] for name in names})


class Digest:
    """SHA-256 over the byte-sorted lines ``sha256,source label,group_id,split``, and their number.

    Lines are sorted within a part; every line of a part comes before those of the next.
    """

    def __init__(self) -> None:
        self._sha, self.n = hashlib.sha256(), 0

    def update(self, rows: pa.Table) -> None:
        """Take the next part in."""
        ahead, last = self._sha.copy(), b""
        self.n += rows.num_rows
        for lines in _lines(rows):
            if lines[0].as_py() < last or pc.any(pc.less(lines[1:], lines[:-1])).as_py():
                # In the lake only where a key stands twice.
                mixed = [line for piece in _lines(rows) for line in piece.to_pylist()]
                self._sha.update(b"".join(sorted(mixed)))
                return
            last = lines[-1].as_py()
            ahead.update(_text(lines))
        self._sha = ahead

    def hexdigest(self) -> str:
        """The content hash of what was taken in."""
        return self._sha.hexdigest()


def n_ranges(lake: Lake, tables: Mapping[str, int]) -> int:
    """How many ranges keep the memory for one of them small."""
    held = (lake.at(name, tables[name]) for name in ("labels", "samples"))
    return digest_partitions.needed(max(dataset.count_rows() for dataset in held))


def newest(labels: pa.Table) -> pa.Table:
    """Of rows with sha256 and sequence, that with the highest sequence of each image."""
    later = labels["sha256"].filter(pc.greater(labels["sequence"], 0))
    is_changed = pc.is_in(labels["sha256"], value_set=later)  # few are, and joins are slow
    changed = labels.filter(is_changed)
    last = changed.group_by("sha256").aggregate([("sequence", "max")])
    last = last.rename_columns({"sequence_max": "sequence"})
    found = last.join(changed, ["sha256", "sequence"]).select(labels.column_names)
    return pa.concat_tables([labels.filter(pc.invert(is_changed)), found.cast(labels.schema)])


def digest(rows: pa.Table) -> str:
    """The content hash of these rows, in whatever order they are."""
    found = Digest()
    found.update(rows)
    return found.hexdigest()


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
                *(_values(rows[name]) for name in FIELDS), strict=True
            )
        ]


def _labels(wanted: pa.ChunkedArray, labels: pa.Table) -> pa.ChunkedArray:
    """The label of each, null where there is none. wanted: in order."""
    if labels.num_rows == len(wanted):  # most often each has one: no need to look one up
        labels = digest_partitions.in_order(labels.select(["sha256", "label"]))
        if labels["sha256"].equals(wanted):
            return labels["label"]
    return _looked_up(wanted, labels["sha256"], labels["label"])


def _looked_up(
    wanted: pa.ChunkedArray, keys: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray
) -> pa.Array | pa.ChunkedArray:
    """The value of each wanted key, null where there is none."""
    return values.take(pc.index_in(wanted, value_set=keys))


def _lines(rows: pa.Table) -> Iterator[pa.Array]:
    """Never empty; a missing value reads None, as it always did."""
    for batch in rows.select(HASHED).to_batches(max_chunksize=_ROWS):
        if batch.num_rows:
            parts = [pc.cast(column, pa.string()) for column in batch.columns]
            told = {"null_handling": "replace", "null_replacement": "None"}
            lines = pc.binary_join_element_wise(*parts, ",", **told)
            yield pc.cast(pc.binary_join_element_wise(lines, "\n", ""), pa.binary())


def _text(lines: pa.Array) -> memoryview:
    """The bytes of all lines, one after the other, where they lie."""
    _, offsets, values = lines.buffers()
    bounds = memoryview(offsets).cast("i")
    return memoryview(values)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]


def _values(column: pa.ChunkedArray) -> list[str]:
    """A column as strings; equal ones are one object where there are few."""
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
