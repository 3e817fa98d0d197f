"""Candidates for twins from Lance's vector indexes: what an index would miss, and its size."""

import tempfile
from pathlib import Path
from time import perf_counter, process_time

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from neuro.duplicates import pose_invariants, twins

PROBES = (1, 2, 4, 8, 16, 32)
CANDIDATES = 20
KINDS = {"IVF_FLAT": None, "IVF_PQ": 14}  # and the numbers of each vector, where it is coded
_RADIUS = 8


def show(made: NDArray[np.uint8], source: NDArray[np.int64]) -> None:
    """Ask an index for each planted copy. source: row that one copies, -1 for none."""
    rows = twins.vectors([one.tobytes() for one in made])
    seen = pose_invariants.invariants(pose_invariants.split(rows, _RADIUS))
    n, width = seen.shape
    copies = np.flatnonzero(source >= 0)
    cells = round(n**0.5)
    print(
        f"\nAn index of {n} pose-free vectors of {width} numbers, {cells} cells: planted copies "
        f"whose source is\namong the {CANDIDATES} nearest, by cells that are searched; one query "
        "at a time\n"
    )
    print(
        f"{'':10}{'built, s':>9}{'CPU s':>7}{'B a row':>9}"
        f"{'probes':>8}{'found':>8}{'ms a query':>12}"
    )
    with tempfile.TemporaryDirectory() as home:
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(seen.ravel()), width)
        lance.write_dataset(pa.table({"row": np.arange(n), "vector": vectors}), f"{home}/t")
        for kind, parts in KINDS.items():
            table, started, used = lance.dataset(f"{home}/t"), perf_counter(), process_time()
            table.create_index(
                "vector", kind, num_partitions=cells, replace=True, num_sub_vectors=parts
            )
            built, cpu = perf_counter() - started, process_time() - used
            newest = max(
                Path(home, "t", "_indices").iterdir(), key=lambda path: path.stat().st_mtime
            )
            size = sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())
            for probes in PROBES:
                found, ms = _asked(lance.dataset(f"{home}/t"), seen, source, copies, probes)
                print(
                    f"{kind:10}{built:9.1f}{cpu:7.1f}{size / n:9.0f}"
                    f"{probes:8}{found:8.3f}{ms:12.2f}"
                )


def _asked(
    table: lance.LanceDataset,
    seen: NDArray[np.float32],
    source: NDArray[np.int64],
    copies: NDArray[np.int64],
    probes: int,
) -> tuple[float, float]:
    """Share of the copies whose source is a candidate, and milliseconds of one query."""
    found, started = 0, perf_counter()
    for copy in copies.tolist():
        nearest = {"column": "vector", "q": seen[copy], "k": CANDIDATES, "nprobes": probes}
        answer = table.to_table(columns=["row", "_distance"], nearest=nearest)
        found += int(source[copy]) in answer["row"].to_pylist()
    return found / len(copies), 1000 * (perf_counter() - started) / len(copies)
