"""A table's rows in partitions by their digests, one at a time, however many rows there are.

One pass writes the rows to a temporary file, each piece to its partition; then each partition is
read back whole. Reading the table once for each partition costs three times as much at a million
rows, and grows with their square; a sort by Lance costs seven times as much.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from neuro.storage import disk_full

ROWS = 1 << 16  # of a partition, about; from 16 million rows on they get larger instead of more
BATCH = 1 << 15  # rows that are written at once
IN_MEMORY = 4 << 20  # bytes of a table that needs no file
# The first two bytes of every digest, in order.
_BEGINNINGS = np.array([int.from_bytes(b"%02x" % n, "big") for n in range(256)])


def n_needed(rows: int) -> int:
    """Number of partitions for so many rows; at least 1."""
    return min(len(_BEGINNINGS), max(1, -(-rows // ROWS)))


@contextmanager
def partitioned(scan: pa.RecordBatchReader, n: int) -> Iterator["Partitions"]:
    """Rows with a column sha256 in n partitions. Raises StorageError if the disk is full."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - see below
    try:
        partitions = Partitions(file, scan.schema, n)
        disk_full.guard(tempfile.gettempdir(), "sort rows", lambda: partitions.write(scan))
        yield partitions
    finally:
        with suppress(OSError):  # on a full disk closing fails as well, and would hide the reason
            file.close()


class Partitions:
    """Rows in a file, in pieces of one partition each.

    A row's partition goes by the first two bytes of its line in the content hash. The line begins
    with the digest and a comma, so every line of a partition comes before all lines of the next,
    whatever stands in the place of a digest.
    """

    def __init__(self, file: IO[bytes], schema: pa.Schema, n: int) -> None:
        self._file, self._schema = file, schema
        firsts = [number * len(_BEGINNINGS) // n for number in range(1, n)]
        self._bounds = _BEGINNINGS[firsts]
        self._pieces: list[list[int]] = [[] for _ in range(n)]  # their numbers in the file

    def rows(self, number: int) -> pa.Table:
        """The rows of a partition, in the order in which they came."""
        batches = [self._reader.get_batch(piece) for piece in self._pieces[number]]
        return pa.Table.from_batches(batches, self._schema)

    def write(self, scan: Iterable[pa.RecordBatch]) -> None:
        """Write rows to the file; they may come in any order."""
        n_pieces = 0
        with pa.ipc.new_file(self._file, self._schema) as writer:
            for batch in _larger(scan):
                numbers = self._numbers(batch["sha256"])
                by_partition = batch.take(pa.array(np.argsort(numbers, kind="stable")))
                present, starts = np.unique(np.sort(numbers), return_index=True)
                ends = [*starts[1:], batch.num_rows]
                for number, start, end in zip(present, starts, ends, strict=True):
                    writer.write_batch(by_partition.slice(start, end - start))
                    self._pieces[number].append(n_pieces)
                    n_pieces += 1
        self._file.flush()
        self._reader = pa.ipc.open_file(self._file)

    def _numbers(self, digests: pa.Array) -> NDArray[np.uint8]:
        """The partition of each digest."""
        first = pc.binary_slice(pc.cast(digests, pa.binary()), 0, 2)
        if pc.any(pc.less(pc.binary_length(first), 2)).as_py():
            # In its line, a digest shorter than two bytes is followed by a comma.
            lines = pc.binary_join_element_wise(first, b",,", b"")
            first = pc.binary_slice(lines, 0, 2)
        beginnings = pc.cast(first, pa.binary(2)).view(pa.uint16())
        values = beginnings.to_numpy().byteswap()  # as a big-endian number
        numbers: NDArray[np.int64] = np.searchsorted(self._bounds, values, side="right")
        return numbers.astype(np.uint8)


def joined(texts: pa.Array) -> pa.Buffer:
    """All binary values as one text, one after the other."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return pc.binary_join(whole, b"")[0].as_buffer()


def _larger(scan: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of some size: cutting each small one into pieces would cost more than reading it."""
    waiting: list[pa.RecordBatch] = []
    n = 0
    for batch in scan:
        waiting.append(batch)
        n += batch.num_rows
        if n >= BATCH:
            yield pa.concat_batches(waiting)
            waiting, n = [], 0
    if waiting:
        yield pa.concat_batches(waiting)
