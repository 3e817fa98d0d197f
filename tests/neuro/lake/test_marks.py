"""Marks that two processes set at once; Lance refuses the second change of one key."""

import lance
import pyarrow as pa
import pytest

from neuro.errors import StaleError
from neuro.lake import erasure, marks
from neuro.lake.lake import Lake
from neuro.lake.staging import Branch
from neuro.lake.table_schemas import SCHEMAS


class Slow(Lake):
    """A real lake whose user is slow: when it has opened ``releases``, a rival sets a mark."""

    rival: tuple[str, str | None] | None = None

    def open(self, table: str, schema: pa.Schema | None = None) -> lance.LanceDataset:
        opened = super().open(table, schema)
        if table == "releases" and self.rival:
            (key, value), self.rival = self.rival, None
            Lake(self.uri).open(table).update_config({key: value})
        return opened


@pytest.mark.parametrize("value", ["merging", None])
def test_two_who_change_a_mark_to_the_same_are_no_rivals(lake: Lake, value: str | None) -> None:
    lake.open("releases").update_config({"k": "before"})
    slow = Slow(lake.uri)
    slow.rival = ("k", value)
    marks.put(slow, "k", value)
    assert lake.open("releases").config().get("k") == value


def test_two_processes_may_begin_to_publish_one_run_at_once(lake: Lake) -> None:
    slow = Slow(lake.uri)
    branch = Branch(slow, "r1")
    row = {"dataset": "brain", "sha256": "a", "run_id": "r1"}
    branch.append("samples", pa.Table.from_pylist([row], SCHEMAS["samples"]))
    slow.rival = (marks.half_written_key(lake.branch, "r1"), "merging")
    branch.publish()
    assert marks.half_written_runs(lake) == {"r1"}


def test_of_two_erasures_at_once_the_second_is_told(lake: Lake) -> None:
    slow = Slow(lake.uri)
    slow.rival = ("erasing", "erase-1")
    with pytest.raises(StaleError, match="another erasure"):
        erasure.begin(slow, "erase-2")
    assert lake.open("releases").config()["erasing"] == "erase-1"


def test_a_compare_and_set_that_fails_otherwise_is_no_conflict(lake: Lake) -> None:
    handle = lake.open("releases")
    with pytest.raises(TypeError):
        marks.compare_and_set(handle, {"k": 1})  # type: ignore[dict-item]
