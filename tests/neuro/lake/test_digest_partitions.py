import hashlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from neuro.errors import StorageError
from neuro.lake import digest_partitions

ODD = ["", "a", "a!", "a,", "ab", "é", "z", "A", "0", "g" * 64, "f" * 64, "0" * 63, "!"]


def digests(n: int) -> list[str]:
    return [hashlib.sha256(str(k).encode()).hexdigest() for k in range(n)]


def scan(ids: list[str], size: int = 7) -> pa.RecordBatchReader:
    rows = pa.table({"sha256": ids, "n": range(len(ids))})
    return pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=size))


def read(ids: list[str], n: int) -> list[pa.Table]:
    with digest_partitions.partitioned(scan(ids), n) as found:
        return [found.rows(number) for number in range(n)]


@pytest.mark.parametrize("n", [1, 2, 7, 16, 256])
@pytest.mark.parametrize("ids", [digests(500), [*digests(40), *ODD, *ODD]], ids=["all", "odd"])
def test_every_row_comes_in_one_partition_and_its_lines_before_the_next(
    ids: list[str], n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_partitions, "BATCH", 50)
    parts = read(ids, n)
    rows = [row for part in parts for row in part.to_pylist()]
    assert sorted(row["n"] for row in rows) == list(range(len(ids)))
    assert all(ids[row["n"]] == row["sha256"] for row in rows)
    lines = [[f"{name},".encode() for name in part["sha256"].to_pylist()] for part in parts]
    assert [line for part in lines for line in sorted(part)] == sorted(
        line for part in lines for line in part
    )


def test_partitions_are_of_about_one_size() -> None:
    sizes = [part.num_rows for part in read(digests(16_000), 16)]
    assert min(sizes) > 800
    assert max(sizes) < 1200


def test_a_partition_keeps_to_its_rows_until_there_are_256() -> None:
    counts = [0, 1, digest_partitions.ROWS, digest_partitions.ROWS + 1, 1_000_000, 10**8]
    assert [digest_partitions.n_needed(n) for n in counts] == [1, 1, 1, 2, 16, 256]


def test_many_rows_stand_in_a_file_and_a_few_in_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    assert sum(part.num_rows for part in read(digests(100), 4)) == 100
    monkeypatch.setattr(digest_partitions, "IN_MEMORY", 1000)
    with pytest.raises(FileNotFoundError):
        read(digests(100), 4)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Counter(part.num_rows > 0 for part in read(digests(100), 4)) == {True: 4}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_of_temporary_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - partitioned closes it
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", lambda _: full)
    with pytest.raises(StorageError, match=r"no space is left on the disk of .*sort rows"):
        read(digests(100), 4)
    assert full.closed
