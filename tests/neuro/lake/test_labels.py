from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from neuro.lake import labels
from neuro.lake.labels import Annotation, NewLabels
from neuro.lake.lake import Lake


@pytest.fixture
def given(now: datetime) -> NewLabels:
    return NewLabels(dataset="brain", labels=by_source({"1": "a", "2": "b"}, now), run_id="r1")


def by_source(labels: dict[str, str], at: datetime) -> dict[str, Annotation]:
    return {name: Annotation(label=label, who="source", at=at) for name, label in labels.items()}


def add(lake: Lake, given: NewLabels) -> list[tuple[str, int, str]]:
    rows = labels.new_rows(lake, given)
    lake.add("labels", rows)
    return [(row["sha256"], row["sequence"], row["label"]) for row in rows.to_pylist()]


def test_a_first_label_has_sequence_zero(lake: Lake, given: NewLabels) -> None:
    assert add(lake, given) == [("1", 0, "a"), ("2", 0, "b")]


def test_only_a_label_that_differs_is_added(lake: Lake, given: NewLabels, now: datetime) -> None:
    add(lake, given)
    newer = replace(given, run_id="r2", labels=by_source({"1": "a", "2": "c", "3": "a"}, now))
    assert add(lake, newer) == [("2", 1, "c"), ("3", 0, "a")]


def test_a_repeated_run_adds_nothing_even_if_superseded(
    lake: Lake, given: NewLabels, now: datetime
) -> None:
    add(lake, given)
    add(lake, replace(given, run_id="r2", labels=by_source({"1": "z"}, now)))
    assert add(lake, given) == []


def test_another_dataset_has_its_own_labels(lake: Lake, given: NewLabels) -> None:
    add(lake, given)
    assert add(lake, replace(given, dataset="chest", run_id="r2")) == [("1", 0, "a"), ("2", 0, "b")]


def test_every_row_says_who_and_when(lake: Lake, given: NewLabels, now: datetime) -> None:
    one = Annotation(label="a", who="Dr. A", at=now)
    (row,) = labels.new_rows(lake, replace(given, labels={"1": one}, is_reviewed=True)).to_pylist()
    assert (row["who"], row["labelled_at"], row["is_reviewed"]) == ("Dr. A", now, True)


def test_a_decided_label_is_written_once_and_where_it_is_the_same_too(
    lake: Lake, given: NewLabels, now: datetime
) -> None:
    add(lake, given)
    decided = Annotation(label="a", who="ana", at=now)
    written = [labels.add_reviewed(lake, "brain", "1", decided, "review-1") for _ in range(2)]
    assert written == [True, False]
    rows = lake.read("labels", where="sha256 = '1'").sort_by("sequence").to_pylist()
    assert [(row["who"], row["is_reviewed"]) for row in rows] == [("source", False), ("ana", True)]


def test_a_decision_ends_the_wait_of_a_label_that_somebody_gave(lake: Lake, now: datetime) -> None:
    labels.add_unreviewed(lake, "brain", "1", Annotation(label="b", who="ben", at=now))
    assert len(labels.waiting(lake, "brain")) == 1
    labels.add_reviewed(lake, "brain", "1", Annotation(label="a", who="ana", at=now), "review-1")
    assert labels.waiting(lake, "brain") == []


def test_a_label_that_was_reviewed_later_stays_the_newest(lake: Lake, now: datetime) -> None:
    later = Annotation(label="a", who="ben", at=now + timedelta(days=1))
    labels.add_reviewed(lake, "brain", "1", later, "import")
    late = Annotation(label="b", who="ana", at=now)
    assert labels.add_reviewed(lake, "brain", "1", late, "review-1") is False


def test_labels_of_people_are_counted_by_image_and_from_a_time_on(
    lake: Lake, given: NewLabels, now: datetime
) -> None:
    add(lake, given)
    for number, (image, label) in enumerate((("1", "b"), ("1", "a"), ("2", "a"))):
        said = Annotation(label=label, who="ana", at=now + timedelta(days=number))
        labels.add_reviewed(lake, "brain", image, said, f"review-{number}")
    add(lake, replace(given, run_id="r2", labels=by_source({"3": "a"}, now + timedelta(days=9))))
    assert labels.n_by_people(lake, "brain", None) == 2
    assert labels.n_by_people(lake, "brain", now + timedelta(days=1)) == 1
    assert labels.n_by_people(lake, "chest", None) == 0
