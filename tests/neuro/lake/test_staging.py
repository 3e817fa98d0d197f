import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from neuro.errors import StaleError
from neuro.lake import scans
from neuro.lake.lake import Lake
from neuro.lake.scans import batches
from neuro.lake.staging import ORDER, Branch
from neuro.lake.table_schemas import SCHEMAS


def samples(run_id: str, *ids: str) -> pa.Table:
    rows = [{"dataset": "brain", "sha256": name, "run_id": run_id} for name in ids]
    return pa.Table.from_pylist(rows, SCHEMAS["samples"])


def ids(lake: Lake) -> list[str]:
    return sorted(lake.read("samples", columns=["sha256"])["sha256"].to_pylist())


def test_rows_of_a_branch_are_seen_there_alone(lake: Lake) -> None:
    lake.add("samples", samples("r0", "old"))
    branch = Branch(lake, "r1")
    branch.append("samples", samples("r1", "new"))
    assert ids(lake) == ["old"]
    assert branch.rows("samples", ["sha256"])["sha256"].to_pylist() == ["new"]
    together = branch.read("samples", columns=["sha256"], where="dataset = 'brain'")
    assert sorted(together["sha256"].to_pylist()) == ["new", "old"]


def test_publishing_merges_the_rows_and_removes_the_branch(lake: Lake) -> None:
    branch = Branch(lake, "r1")
    branch.append("samples", samples("r1", "a", "b"))
    branch.publish()
    assert ids(lake) == ["a", "b"]
    assert all(lake.open(table).branches.list() == {} for table in ORDER)


def test_a_repeated_run_replaces_its_own_leftovers(lake: Lake) -> None:
    Branch(lake, "r1").append("samples", samples("r1", "a", "b"))
    again = Branch(Lake(lake.uri), "r1")
    again.append("samples", samples("r1", "b"))
    again.publish()
    assert ids(lake) == ["b"]


def test_two_processes_with_the_same_run_mix_no_rows_and_the_second_is_told(lake: Lake) -> None:
    branch, rival = Branch(lake, "r1"), Branch(lake, "r1")
    branch.append("samples", samples("r1", "a", "b"))
    rival.append("samples", samples("r1", "a", "b"))
    branch.publish()
    with pytest.raises(StaleError, match="done with the same delivery first"), rival.needed():
        rival.publish()
    assert ids(lake) == ["a", "b"]
    assert all(lake.open(table).branches.list() == {} for table in ORDER)


def test_removing_a_branch_leaves_one_that_is_being_made_alone(lake: Lake) -> None:
    branch, rival = Branch(lake, "r1"), Branch(lake, "r2")
    rival.append("samples", samples("r2", "b"))
    # Lance writes the files of a branch first and its entry second; between the two it is unknown.
    entries = [Path(lake.uri, f"{t}.lance/_refs/branches/{rival.name}.json") for t in ORDER]
    held = {entry: entry.read_bytes() for entry in entries}
    for entry in entries:
        entry.unlink()
    branch.drop()
    for entry, raw in held.items():
        entry.write_bytes(raw)
    rival.publish()
    assert ids(lake) == ["b"]


def test_a_branch_whose_files_went_while_it_was_made_is_told_to_run_again(lake: Lake) -> None:
    branch, rival = Branch(lake, "r1"), Branch(lake, "r1")
    entry = Path(lake.uri, f"samples.lance/_refs/branches/{rival.name}.json")
    raw = entry.read_bytes()
    branch.drop()
    for table in ORDER:
        (Path(lake.uri) / f"{table}.lance/_refs/branches/{rival.name}.json").write_bytes(raw)
    with pytest.raises(StaleError, match="run the same command again"), rival.needed():
        rival.append("samples", samples("r1", "a"))


def test_a_branch_can_be_made_while_another_process_removes_those_of_the_run(lake: Lake) -> None:
    for table in ORDER:
        lake.open(table)
    done = threading.Event()

    def remove() -> None:
        while not done.is_set():
            for table in ORDER:
                lake.drop_branch(table, "ingest.r1")

    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove)
        try:
            for _ in range(30):
                with contextlib.suppress(StaleError):
                    Branch(lake, "r1")
        finally:
            done.set()
    assert removing.result() is None


def test_branches_are_listed_although_one_goes_meanwhile(lake: Lake) -> None:
    branch = Branch(lake, "r1")
    Path(lake.uri, "samples.lance/_refs/branches/gone.json").symlink_to("nowhere")
    assert lake.branches("samples") == ["gone", branch.name]


def test_a_branch_that_only_begins_with_the_same_letters_is_kept(lake: Lake) -> None:
    for name in ("user.brain.a", "user.brain.ab", "user.brain.a-b"):
        lake.open("samples").create_branch(name)
    lake.drop_branch("samples", "user.brain.a")
    assert lake.branches("samples") == ["user.brain.a-b", "user.brain.ab"]


def test_a_failure_beside_the_branch_stays_what_it_was(lake: Lake) -> None:
    with pytest.raises(ValueError, match="mine"), Branch(lake, "r1").needed():
        raise ValueError("mine")


def test_what_a_crashed_run_has_merged_already_is_not_merged_again(lake: Lake) -> None:
    lake.add("samples", samples("r1", "a"))
    branch = Branch(lake, "r1")
    branch.append("samples", samples("r1", "b"))
    branch.publish()
    assert ids(lake) == ["a", "b"]


def test_a_key_taken_by_another_run_meanwhile_is_told(lake: Lake) -> None:
    branch, rival = Branch(lake, "r1"), Branch(lake, "r2")
    branch.append("samples", samples("r1", "a", "b"))
    rival.append("samples", samples("r2", "a"))
    rival.publish()
    with pytest.raises(StaleError, match="1 rows of samples were written by another run"):
        branch.publish()


def test_two_branches_with_different_keys_both_arrive(lake: Lake) -> None:
    branch, rival = Branch(lake, "r1"), Branch(lake, "r2")
    branch.append("samples", samples("r1", "a"))
    rival.append("samples", samples("r2", "b"))
    rival.publish()
    branch.publish()
    assert ids(lake) == ["a", "b"]


def test_dropping_twice_is_harmless(lake: Lake) -> None:
    branch = Branch(lake, "r1")
    branch.append("samples", samples("r1", "a"))
    branch.drop()
    branch.drop()
    assert ids(lake) == []


def test_images_and_labels_come_before_the_samples_that_name_them() -> None:
    assert set(ORDER) == {"images", "labels", "samples"}
    assert ORDER[-1] == "samples"


PUBLISHER = """
import resource, sys
import numpy as np, pyarrow as pa
from neuro.lake.staging import Branch
from neuro.lake.lake import Lake
from neuro.lake.table_schemas import SCHEMAS

lake = Lake(sys.argv[1])
branch, rng = Branch(lake, "r1"), np.random.default_rng(0)
for part in range(30):
    names = [f"{part}-{n}" for n in range(10)]
    rows = [{"sha256": name, "stored": rng.bytes(1 << 20), "run_id": "r1"} for name in names]
    branch.append("images", pa.Table.from_pylist(rows, SCHEMAS["images"]))
del rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
branch.publish()
print(before // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(lake.open("images").count_rows())
"""


def test_publishing_300_mb_of_images_takes_memory_for_a_part_of_them(lake: Lake) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHER, lake.uri],
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},  # of glibc: each thread's keeps what was freed
        capture_output=True,
        text=True,
        check=True,
    )
    before_mb, peak_mb, n = map(int, done.stdout.split())
    assert n == 300
    assert peak_mb - before_mb < 250  # 140 here; 300 with an arena for each thread


class KilledError(Exception):
    """Stands for the end of the process."""


class Mortal(Lake):
    """A real lake whose user dies when a number of parts have been added."""

    parts_left = 10**9

    def add(self, table: str, rows: pa.Table) -> int:
        if self.parts_left == 0:
            raise KilledError
        self.parts_left -= 1
        return super().add(table, rows)


def images(run_id: str, n: int) -> pa.Table:
    rows = [{"sha256": f"{k:02d}", "stored": bytes(1000), "run_id": run_id} for k in range(n)]
    return pa.Table.from_pylist(rows, SCHEMAS["images"])


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_publication_that_dies_between_two_parts_is_completed_by_the_next(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(scans, "BYTES", 4000)
    mortal = Mortal(lake.uri)
    branch = Branch(mortal, "r1")
    branch.append("images", images("r1", 20))
    branch.append("samples", samples("r1", *map(str, range(20))))
    mortal.parts_left = parts
    with pytest.raises(KilledError):
        branch.publish()
    held = lake.read("images", columns=["sha256"]).num_rows
    assert held < 20
    assert (held > 0) == (parts > 0)
    assert ids(lake) == []
    mortal.parts_left = 10**9
    branch.publish()
    assert sorted(lake.read("images")["sha256"].to_pylist()) == [f"{k:02d}" for k in range(20)]
    assert len(ids(lake)) == 20


def test_a_key_of_a_late_part_that_was_taken_meanwhile_is_told(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "BYTES", 4000)
    branch = Branch(lake, "r1")
    branch.append("images", images("r1", 20))
    lake.add("images", images("r2", 20).slice(19))
    with pytest.raises(StaleError, match="1 rows of images were written by another run"):
        branch.publish()


def test_a_read_that_broke_off_goes_on_at_the_row_where_it_was(lake: Lake) -> None:
    branch = Branch(lake, "r1")
    for start in range(0, 60, 20):
        branch.append("images", images("r1", start + 20).slice(start))
    dataset = lake.open("images").checkout_version((branch.name, None))
    whole = [
        name
        for part in batches(dataset, ["sha256", "stored"])
        for name in part["sha256"].to_pylist()
    ]
    rest = batches(dataset, ["sha256", "stored"], skip=13, fragments=dataset.get_fragments()[1:])
    assert [name for part in rest for name in part["sha256"].to_pylist()] == whole[33:]


def test_a_stream_has_the_rows_of_its_run_alone(lake: Lake) -> None:
    mixed = pa.concat_tables([images("r0", 20).slice(10), images("r1", 10)])
    lake.add("images", mixed)
    dataset = lake.open("images")
    (part,) = lake.stream(dataset, "r1")
    assert sorted(part["sha256"].to_pylist()) == [f"{k:02d}" for k in range(10)]
    assert list(lake.stream(dataset, "r2")) == []
