from dataclasses import replace
from datetime import datetime

import pytest

from neuro.lake import labels
from neuro.lake.labels import Said
from neuro.lake.lake import Lake


@pytest.fixture
def said(now: datetime) -> Said:
    return Said(dataset="brain", labels={"1": "a", "2": "b"}, who="source", run_id="r1", at=now)


def add(lake: Lake, said: Said) -> list[tuple[str, int, str]]:
    rows = labels.new_rows(lake, said)
    lake.add("labels", rows)
    return [(row["sha256"], row["sequence"], row["label"]) for row in rows.to_pylist()]


def test_a_first_label_has_sequence_zero(lake: Lake, said: Said) -> None:
    assert add(lake, said) == [("1", 0, "a"), ("2", 0, "b")]


def test_only_a_label_that_differs_is_added(lake: Lake, said: Said) -> None:
    add(lake, said)
    newer = replace(said, run_id="r2", labels={"1": "a", "2": "c", "3": "a"})
    assert add(lake, newer) == [("2", 1, "c"), ("3", 0, "a")]


def test_a_repeated_run_adds_nothing_even_if_superseded(lake: Lake, said: Said) -> None:
    add(lake, said)
    add(lake, replace(said, run_id="r2", labels={"1": "z"}))
    assert add(lake, said) == []


def test_another_dataset_has_its_own_labels(lake: Lake, said: Said) -> None:
    add(lake, said)
    assert add(lake, replace(said, dataset="chest", run_id="r2")) == [("1", 0, "a"), ("2", 0, "b")]


def test_every_row_says_who_and_when(lake: Lake, said: Said, now: datetime) -> None:
    (row, _) = labels.new_rows(lake, replace(said, who="Dr. A", is_reviewed=True)).to_pylist()
    assert (row["who"], row["labelled_at"], row["is_reviewed"]) == ("Dr. A", now, True)
