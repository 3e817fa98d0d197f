"""A million rows: time and peak memory of making, opening and comparing releases."""

import argparse
import hashlib
import multiprocessing
import resource
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time

import pyarrow as pa

from neuro.lake import release_diff, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.lake.table_schemas import SCHEMAS

TARGET_S = 5.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES, SPLITS = ("glioma", "notumor", "pituitary"), ("train", "val", "calibration", "test")
_PIECE = 100_000  # rows of one append


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one step in a process of its own. before_mb: its memory before the step."""

    seconds: float
    cpu_s: float
    before_mb: float
    peak_mb: float
    said: str


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--scratch", type=Path, help="folder for the lakes; about 300 MB")
    options = parser.parse_args(argv)
    print(
        "Synthetic rows, written straight into the tables of a local folder: images without bytes\n"
        "or thumbnails, one label and a group of its own each. The second release has 0.1 % more\n"
        "images and 0.1 % changed labels. Each step runs once, in a process of its own; a release\n"
        "is read back and its content hash compared whenever it is opened or compared. Memory is\n"
        "that of the process before a step, and what its peak was above that. Not measured:\n"
        "vetting, twin search, passport, writing images, S3.\n"
    )
    print(f"{'rows':>9}  {'step':20}{'s':>7}{'CPU s':>8}{'target s':>10}{'MB before, above':>26}")
    for rows in sorted({max(1000, int(options.rows * share)) for share in (0.1, 0.3, 1)}):
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            _measure(str(Path(scratch) / "lake"), rows)


def _measure(uri: str, rows: int) -> None:
    few = max(1, rows // 1000)
    steps: list[tuple[str, Callable[..., Cost], tuple[object, ...]]] = [
        ("", _write, (uri, "r1", 0, rows, 0)),
        ("release", _publish, (uri, "r1")),
        ("", _write, (uri, "r2", rows, rows + few, few)),
        ("next release", _publish, (uri, "r2")),
        ("diff", _diff, (uri,)),
        ("open", _open, (uri,)),
        ("Sample objects", _objects, (uri,)),
    ]
    for name, step, arguments in steps:
        context = multiprocessing.get_context("spawn")  # Lance does not survive a fork
        with ProcessPoolExecutor(1, mp_context=context) as one:
            cost = one.submit(step, *arguments).result()
        if name:
            print(
                f"{rows:9}  {name:20}{cost.seconds:7.2f}{cost.cpu_s:8.2f}{TARGET_S:10.0f}"
                f"{cost.before_mb:15.0f}{cost.peak_mb - cost.before_mb:11.0f}   {cost.said}"
            )


def _cost(step: Callable[[], str]) -> Cost:
    before, started, cpu = _peak_mb(), perf_counter(), process_time()
    said = step()
    return Cost(
        seconds=perf_counter() - started,
        cpu_s=process_time() - cpu,
        before_mb=before,
        peak_mb=_peak_mb(),
        said=said,
    )


def _publish(uri: str, run: str) -> Cost:
    lake = Lake(uri)
    draft = Draft(
        dataset="bench", passport={}, creator=run, note="bench", is_synthetic=True, now=NOW
    )
    return _cost(lambda: f"{releases.publish(lake, draft).n} images")


def _diff(uri: str) -> Cost:
    lake = Lake(uri)

    def step() -> str:
        first, second = releases.history(lake, "bench")
        found = release_diff.diff(lake, first, second)
        return f"{len(found.added)} added, {len(found.relabelled)} relabelled"

    return _cost(step)


def _open(uri: str) -> Cost:
    lake = Lake(uri)

    def step() -> str:
        release = _current(lake)
        releases.check(lake, release)
        return f"{release.n} images"

    return _cost(step)


def _objects(uri: str) -> Cost:
    lake = Lake(uri)
    return _cost(lambda: f"{len(releases.samples(lake, _current(lake)))} images")


def _current(lake: Lake) -> Release:
    return releases.find(lake, "bench")


def _write(uri: str, run: str, start: int, stop: int, relabelled: int) -> Cost:
    """Samples numbered start to stop, and a second label of the first ones."""
    lake = Lake(uri)

    def step() -> str:
        for begin in range(start, stop, _PIECE):
            names = [_digest(number) for number in range(begin, min(begin + _PIECE, stop))]
            for table, columns in _rows(names).items():
                _append(lake, table, {**columns, "sha256": names, "run_id": [run] * len(names)})
        again = [_digest(number) for number in range(relabelled)]
        labels: dict[str, Sequence[object]] = {
            "label": ["meningioma"] * relabelled,
            "sequence": [1] * relabelled,
        }
        _append(lake, "labels", {**labels, "sha256": again, "run_id": [run] * relabelled})
        return ""

    return _cost(step)


def _rows(names: list[str]) -> dict[str, dict[str, list[object]]]:
    def cycled(values: tuple[object, ...]) -> list[object]:
        return [values[int(name[:4], 16) % len(values)] for name in names]

    return {
        "images": {"stored": cycled((b"",)), "stored_sha256": [*names]},
        "labels": {"label": cycled(CLASSES), "sequence": cycled((0,))},
        "samples": {
            "group_id": [*names],
            "split": cycled(SPLITS),
            "given_split": cycled(("",)),
            "source_name": [f"{name[:12]}.png" for name in names],
        },
    }


def _append(lake: Lake, table: str, columns: Mapping[str, Sequence[object]]) -> None:
    n, schema = len(columns["sha256"]), SCHEMAS[table]
    known = {**columns, "dataset": ["bench"] * n}
    arrays = [
        pa.array(known[entry.name], entry.type) if entry.name in known else pa.nulls(n, entry.type)
        for entry in schema
    ]
    if n:
        lake.open(table).insert(pa.Table.from_arrays(arrays, schema=schema), mode="append")


def _digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
