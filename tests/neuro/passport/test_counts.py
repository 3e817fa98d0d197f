import numpy as np

from neuro.dataset import metadata
from neuro.passport import counts
from neuro.passport.counts import Gaps
from neuro.splits.draw_splits import Member


def member(name: str, key: str, group: str) -> Member:
    return Member(sample_id=name, label="", group_key=key, group_id=group, split="train")


def test_groups_are_counted_by_what_joined_them() -> None:
    members = [
        member("a", "", "A"),  # alone
        *(member(name, "p1", "B") for name in "bc"),  # one patient
        *(member(name, "", "C") for name in "def"),  # twins
        *(member(name, key, "D") for name, key in (("g", "p2"), ("h", "p2"), ("i", ""))),  # both
        *(member(name, key, "E") for name, key in (("j", "p3"), ("k", "p4"))),  # twins of two ids
    ]
    pairs = np.array([[1, 2], [3, 4], [4, 5], [7, 8], [9, 10]])
    found = counts.grouping(members, pairs)
    assert (found.alone, found.id, found.twins, found.both, found.largest) == (1, 1, 2, 1, 3)
    assert found.sizes == {"1": 1, "2": 2, "3-5": 2, "6-20": 0, "over 20": 0}


def test_missing_and_impossible_values_are_counted() -> None:
    columns = {
        "age": np.array([45.0, 0.0, np.nan, 130.0]),
        "sex": np.array(["male", "unknown", "", "female"]),
    }
    assert counts.gaps(columns, ["age", "sex", "site"]) == [
        Gaps(column="age", missing=1, impossible=2, values=3),
        Gaps(column="sex", missing=2, impossible=0, values=2),
    ]


def test_kinds_of_removed_notes_are_counted_by_file() -> None:
    column = np.array(["EXIF;comment", "", "EXIF"])
    assert counts.removed({metadata.REMOVED: column}) == {"EXIF": 2, "comment": 1}
    assert counts.removed({}) == {}


def test_clusters_come_largest_first_and_single_rows_not_at_all() -> None:
    assert counts.clusters(6, np.array([[0, 1], [2, 3], [3, 4]])) == [[2, 3, 4], [0, 1]]
