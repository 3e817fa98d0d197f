"""Columns of a version, streamed in bounded memory."""

from typing import Any

import lance
import pyarrow as pa

_FEW = 64  # images that may be held at once
BYTES = 16 << 20  # of a batch that is written; Lance needs some ten times as many meanwhile


def batches(
    dataset: lance.LanceDataset,
    columns: list[str] | None,
    where: str | None = None,
    skip: int = 0,
    fragments: list[lance.LanceFragment] | None = None,
    most: int | None = None,
) -> pa.RecordBatchReader:
    """Stream columns in the table's order, in batches that suit what they hold.

    columns: None for all. skip: rows that were read before the scan broke off. most: rows that the
    filter can let through, where that is known. Where columns hold images, memory is bounded best
    without a filter: under one, Lance bounds the rows alone, and holds some twenty batches at a
    time; a filter for few rows bounds it by itself, and they are found faster in large batches.
    """
    types = [entry.type for entry in dataset.schema if columns is None or entry.name in columns]
    limits: dict[str, Any]
    if not any(map(pa.types.is_large_binary, types)):
        limits = {"batch_size": 1 << 14, "batch_readahead": 2}
    elif where is None:
        limits = {"batch_size": 512, "batch_size_bytes": BYTES // 4, "batch_readahead": 2}
    else:  # of the rows that the filter drops, only its own column is read
        size = 1024 if most is not None and most <= _FEW else 16
        limits = {"batch_size": size, "batch_readahead": 1, "late_materialization": True}
    return dataset.scanner(
        columns=columns,
        filter=where,
        offset=skip or None,
        fragments=fragments,
        fragment_readahead=1,
        io_buffer_size=BYTES,
        **limits,
    ).to_reader()
