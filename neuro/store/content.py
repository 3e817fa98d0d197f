"""The samples of one state of the tables, each with its newest label, as columns.

A column of a million digests is 64 MB and hashed in a fraction of a second; as many Python objects
are neither. Objects are made where a caller asks for them.
"""

import hashlib
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from neuro.sample import Sample
from neuro.store.lake import Lake, quoted
from neuro.store.visible import LeftOut

# Those that the content hash is made of, in the order of its lines.
HASHED = ("sample_id", "label", "group_id", "split")
_ROWS = 1 << 16  # of one piece of text that is hashed: about 10 MB


def columns(
    lake: Lake,
    dataset: str,
    tables: Mapping[str, int],
    left_out: LeftOut,
    entered: Mapping[str, str],
) -> pa.Table:
    """What the tables hold at these versions, less what is left out, sorted by sample_id.

    The columns are the fields of Sample. entered: the release that a run's samples came with, by
    run, and by sample where it differs.
    """
    where = f"dataset = {quoted(dataset)}"
    asked = ["sha256", "sequence", "label", "run_id"]
    said = lake.at("labels", tables["labels"]).to_table(columns=asked, filter=where)
    labels = newest(left_out.shown_labels(said))
    asked = ["sha256", "group_id", "split", "given_split", "source_name", "run_id"]
    held = lake.at("samples", tables["samples"]).to_table(columns=asked, filter=where)
    rows = left_out.shown_samples(held).sort_by("sha256")
    causes, names = (pa.array(texts, pa.string()) for texts in (entered, entered.values()))
    by_sample = _looked_up(rows["sha256"], causes, names)
    by_run = _looked_up(rows["run_id"], causes, names)
    return pa.table(
        {
            "sample_id": rows["sha256"],
            "group_id": rows["group_id"],
            "split": rows["split"],
            "given_split": rows["given_split"],
            "label": pc.fill_null(
                _looked_up(rows["sha256"], labels["sha256"], labels["label"]), ""
            ),
            "source_name": rows["source_name"],
            "entered": pc.fill_null(pc.coalesce(by_sample, by_run), ""),
        }
    )


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
    """SHA-256 over the byte-sorted lines ``sha256,source label,group_id,split``."""
    found, last = hashlib.sha256(), b""
    for lines in _lines(rows):
        if lines[0].as_py() < last or pc.any(pc.less(lines[1:], lines[:-1])).as_py():
            return _digest_of_unsorted(rows)
        last = lines[-1].as_py()
        found.update(_text(lines))
    return found.hexdigest()


def samples(rows: pa.Table) -> list[Sample]:
    """One object a row; about 400 bytes and 2 microseconds each."""
    names = ("sample_id", "group_id", "split", "given_split", "label", "source_name", "entered")
    return [
        Sample(
            sample_id=sample_id,
            group_id=group_id,
            split=split,
            given_split=given_split,
            label=label,
            source_name=source_name,
            entered=entered,
        )
        for sample_id, group_id, split, given_split, label, source_name, entered in zip(
            *(rows[name].to_pylist() for name in names), strict=True
        )
    ]


def from_samples(found: list[Sample]) -> pa.Table:
    """The columns that the content hash is made of."""
    return pa.table({name: [getattr(s, name) for s in found] for name in HASHED})


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


def _digest_of_unsorted(rows: pa.Table) -> str:
    """Of rows in another order than their lines': in the lake only where a key stands twice."""
    lines = sorted(line for part in _lines(rows) for line in part.to_pylist())
    return hashlib.sha256(b"".join(lines)).hexdigest()
