"""A table's rows by ranges of their digests, one range at a time, however many rows there are.

One pass deals the rows out to a temporary file, each piece to its range; then each range is read
back whole. Reading the table once for each range costs three times as much at a million rows, and
grows with their square; a sort by Lance costs seven times as much.
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

ROWS = 1 << 16  # of one range, about; from 16 million rows on, ranges get larger instead of more
BATCH = 1 << 15  # rows that are dealt out at once
_IN_MEMORY = 4 << 20  # bytes of a table that needs no file
# The first two bytes of every digest, in order.
_BEGINNINGS = np.array([int.from_bytes(b"%02x" % n, "big") for n in range(256)])


def needed(rows: int) -> int:
    """Number of ranges for so many rows; at least 1."""
    return min(len(_BEGINNINGS), max(1, -(-rows // ROWS)))


@contextmanager
def dealt(scan: pa.RecordBatchReader, n: int) -> Iterator["Dealt"]:
    """Rows with a column sha256, dealt out to n ranges. Raises StorageError if the disk is full."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - see below
    try:
        found = Dealt(file, scan.schema, n)
        disk_full.guard(tempfile.gettempdir(), "sort rows", lambda: found.deal(scan))
        yield found
    finally:
        with suppress(OSError):  # on a full disk closing fails as well, and would hide the reason
            file.close()


class Dealt:
    """Rows in a file, those of a range together.

    Ranges go by the first two bytes of a row's line in the content hash, which begins with the
    digest and a comma: so every line of a range comes before all lines of the next, whatever
    stands in the place of a digest.
    """

    def __init__(self, file: IO[bytes], schema: pa.Schema, n: int) -> None:
        self._file, self._schema = file, schema
        self._starts = _BEGINNINGS[[k * len(_BEGINNINGS) // n for k in range(1, n)]]
        self._places: list[list[tuple[int, int]]] = [[] for _ in range(n)]

    def rows(self, number: int) -> pa.Table:
        """The rows of a range, in the order in which they came."""
        parts = []
        for start, size in self._places[number]:
            self._file.seek(start)
            raw = pa.py_buffer(self._file.read(size))
            parts.append(pa.ipc.read_record_batch(raw, self._schema))
        return pa.Table.from_batches(parts, self._schema)

    def deal(self, scan: Iterable[pa.RecordBatch]) -> None:
        """Write rows to the file; they may come in any order."""
        for batch in _joined(scan):
            numbers = self._numbers(batch["sha256"])
            together = batch.take(pa.array(np.argsort(numbers, kind="stable")))
            start = 0
            for number, size in enumerate(np.bincount(numbers, minlength=len(self._places))):
                if size:
                    piece = together.slice(start, size).serialize()
                    self._places[number].append((self._file.tell(), piece.size))
                    self._file.write(piece)
                start += size
        self._file.flush()

    def _numbers(self, digests: pa.Array) -> NDArray[np.uint8]:
        """The range of each digest."""
        text = _whole_digests(digests)
        if text is None:
            lines = pc.binary_join_element_wise(pc.cast(digests, pa.binary()), b",,", b"")
            first = pc.cast(pc.binary_slice(lines, 0, 2), pa.binary(2))
            text = np.frombuffer(first.buffers()[1], dtype=np.uint8).reshape(-1, 2)
        values = np.ascontiguousarray(text[:, :2]).view(">u2")[:, 0]
        return np.searchsorted(self._starts, values, side="right").astype(np.uint8)


def in_order(rows: pa.Table) -> pa.Table:
    """Rows by sha256, equal ones as they came.

    By the first 64 bits of a digest, which takes a third of the time; as text where that fails.
    """
    digests = rows["sha256"].combine_chunks()
    text = _whole_digests(digests)
    if text is not None:
        halves = np.ascontiguousarray(text[:, :16]).view(">u8").astype(np.uint64)
        high, low = _packed(halves).T
        numbers = high << np.uint64(32) | low
        order = np.argsort(numbers)
        found = rows.take(pa.array(order))
        names = found["sha256"].combine_chunks()
        if np.diff(numbers[order]).all() and not pc.any(pc.less(names[1:], names[:-1])).as_py():
            return found
    return rows.take(pc.array_sort_indices(pc.cast(digests, pa.binary())))


def _whole_digests(digests: pa.Array) -> NDArray[np.uint8] | None:
    """The text where it lies, (n, 64), if each has 64 bytes as a digest has."""
    _, offsets, values = digests.buffers()
    n = len(digests)
    bounds = np.frombuffer(offsets, np.int32, n + 1, 4 * digests.offset) if n else np.zeros(1)
    if not n or (np.diff(bounds) != 64).any():
        return None
    return np.frombuffer(values, np.uint8, 64 * n, int(bounds[0])).reshape(n, 64)


def _packed(text: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Eight hexadecimal digits, each a byte of a number, as the 32 bits they stand for."""
    c = [np.uint64(k) for k in (0x0F0F0F0F0F0F0F0F, 0x0101010101010101, 9, 6)]
    bits = (text & c[0]) + ((text >> c[3]) & c[1]) * c[2]
    for shift, mask in ((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0xFFFFFFFF)):
        bits = (bits | bits >> np.uint64(shift)) & np.uint64(mask)
    return bits


def _joined(scan: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of some size: a piece for each range of every small one would cost more than it."""
    held: list[pa.RecordBatch] = []
    n = 0
    for batch in scan:
        held.append(batch)
        n += batch.num_rows
        if n >= BATCH:
            yield pa.concat_batches(held)
            held, n = [], 0
    if held:
        yield pa.concat_batches(held)
