import pyarrow as pa
import pytest

from neuro.errors import StaleError
from neuro.store.branches import ORDER, Branch
from neuro.store.lake import Lake
from neuro.store.tables import SCHEMAS


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
    together = branch.everything("samples", ["sha256"], "dataset = 'brain'")
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
