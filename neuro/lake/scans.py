"""Columns of a version, streamed in bounded memory.

skip: rows that were read before the scan broke off.
"""

from collections.abc import Iterator

import lance
import pyarrow as pa

BYTES = 16 << 20  # of a batch that is written; Lance needs some ten times as many meanwhile


def batches(
    dataset: lance.LanceDataset,
    columns: list[str] | None,
    fragments: list[lance.LanceFragment] | None = None,
    skip: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Stream columns that hold bytes, a bounded number of rows and bytes at a time.

    There is no filter: under one, Lance bounds the rows alone, and several times over.
    """
    yield from dataset.scanner(
        columns=columns,
        fragments=fragments,
        offset=skip or None,
        batch_size=512,
        batch_size_bytes=BYTES // 4,
        batch_readahead=2,
        fragment_readahead=1,
        io_buffer_size=BYTES,
    ).to_batches()


def chosen(
    dataset: lance.LanceDataset, columns: list[str], where: str, skip: int = 0
) -> Iterator[pa.RecordBatch]:
    """Stream columns that hold bytes, of few rows among many, in the table's order.

    Of the others Lance reads the filter's column alone. Some twenty batches are held at a time.
    """
    yield from dataset.scanner(
        columns=columns,
        filter=where,
        offset=skip or None,
        late_materialization=True,
        batch_size=16,
        batch_readahead=1,
        fragment_readahead=1,
        io_buffer_size=BYTES,
    ).to_batches()


def narrow(
    dataset: lance.LanceDataset, columns: list[str], where: str | None = None, skip: int = 0
) -> pa.RecordBatchReader:
    """Stream columns that hold no bytes, a bounded number of rows at a time."""
    return dataset.scanner(
        columns=columns,
        filter=where,
        offset=skip or None,
        batch_size=1 << 14,
        batch_readahead=2,
        fragment_readahead=1,
        io_buffer_size=BYTES,
    ).to_reader()
