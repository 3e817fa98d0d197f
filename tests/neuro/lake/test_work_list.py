from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from neuro.errors import ConfigError, StaleError, UnknownNameError
from neuro.lake import erasure, work_list
from neuro.lake.lake import Lake
from neuro.lake.work_list import ADJUDICATED, CANNOT_TELL, FINAL, FIRST, Read, WorkItem, WorkKey

KEY = WorkKey("brain", "a" * 64)


def item(now: datetime, sha256: str = KEY.sha256, readers: int = 1, rank: float = 0.0) -> WorkItem:
    return WorkItem(
        key=WorkKey("brain", sha256),
        dataset="brain",
        source="uncertain",
        why="two classes are left",
        added_at=now,
        readers=readers,
        rank=rank,
    )


def say(
    lake: Lake, who: str, step: str, label: str, now: datetime, key: WorkKey = KEY
) -> work_list.Reading:
    return work_list.record(lake, key, Read(who=who, step=step, label=label, at=now))


def read_twice(lake: Lake, who: str, label: str, now: datetime) -> work_list.Reading:
    say(lake, who, FIRST, label, now)
    return say(lake, who, FINAL, label, now)


def label_rows(lake: Lake) -> Sequence[tuple[str, str, bool]]:
    rows = lake.read("labels").sort_by("sequence").to_pylist()
    return [(row["label"], row["who"], row["is_reviewed"]) for row in rows]


def test_an_image_that_waits_is_not_put_there_again(lake: Lake, now: datetime) -> None:
    assert work_list.add(lake, [item(now)]) == 1
    assert work_list.add(lake, [item(now)]) == 0


def test_an_image_that_was_decided_comes_again_in_the_next_round(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    read_twice(lake, "ana", "glioma", now)
    assert work_list.add(lake, [item(now)]) == 1
    assert [each.item.key.round for each in work_list.readings(lake, "brain")] == [0, 1]


def test_the_lowest_rank_is_read_first(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now, "b" * 64, rank=2), item(now, "c" * 64, rank=1)])
    assert [each.item.key.sha256[0] for each in work_list.readings(lake, "brain")] == ["c", "b"]


def test_one_reader_decides_with_the_final_read_and_not_with_the_first(
    lake: Lake, now: datetime
) -> None:
    work_list.add(lake, [item(now)])
    assert say(lake, "ana", FIRST, "glioma", now).is_decided is False
    assert label_rows(lake) == []
    assert say(lake, "ana", FINAL, "meningioma", now).is_decided
    assert label_rows(lake) == [("meningioma", "ana", True)]


def test_a_first_read_stays_whatever_is_said_after(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    say(lake, "ana", FIRST, "glioma", now)
    reading = say(lake, "ana", FIRST, "pituitary", now)
    assert [read.label for read in reading.reads] == ["glioma"]


def test_what_is_sent_twice_is_stored_once(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    for _ in range(2):
        read_twice(lake, "ana", "glioma", now)
    assert lake.read("reads").num_rows == 2
    assert label_rows(lake) == [("glioma", "ana", True)]


def test_a_final_read_needs_the_own_first_read(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    say(lake, "ben", FIRST, "glioma", now)
    with pytest.raises(ConfigError, match="follows the own first read"):
        say(lake, "ana", FINAL, "glioma", now)


def test_two_readers_who_agree_decide_together(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now, readers=2)])
    assert read_twice(lake, "ben", "glioma", now).is_decided is False
    decided = read_twice(lake, "ana", "glioma", now + timedelta(hours=1)).decision
    assert decided is not None
    assert (decided.who, decided.at) == ("ana, ben", now + timedelta(hours=1))
    assert label_rows(lake) == [("glioma", "ana, ben", True)]


def test_what_two_readers_dispute_a_further_person_settles(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now, readers=2)])
    read_twice(lake, "ana", "glioma", now)
    assert read_twice(lake, "ben", "meningioma", now).is_disputed
    assert label_rows(lake) == []
    say(lake, "dr_c", ADJUDICATED, "meningioma", now)
    assert label_rows(lake) == [("meningioma", "dr_c", True)]


def test_a_reader_does_not_settle_the_own_dispute(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now, readers=2)])
    read_twice(lake, "ana", "glioma", now)
    reading = read_twice(lake, "ben", "meningioma", now)
    waits = {who: reading.waits_for(who, adjudicates=True) for who in ("ana", "ben", "dr_c")}
    assert waits == {"ana": False, "ben": False, "dr_c": True}
    assert reading.waits_for("dr_c", adjudicates=False) is False
    with pytest.raises(ConfigError, match="no adjudication by you"):
        say(lake, "ben", ADJUDICATED, "meningioma", now)


def test_nothing_is_adjudicated_that_is_not_disputed(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now, readers=2)])
    with pytest.raises(ConfigError, match="do not disagree"):
        say(lake, "dr_c", ADJUDICATED, "glioma", now)


def test_who_cannot_tell_decides_without_a_label(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    reading = read_twice(lake, "ana", CANNOT_TELL, now)
    assert reading.is_decided
    assert label_rows(lake) == []


def test_two_readers_at_once_are_both_stored_and_one_decides(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    with ThreadPoolExecutor(2) as threads:
        both = (("ana", "glioma"), ("ben", "meningioma"))
        for who, label in both:
            say(lake, who, FIRST, label, now)
        calls = [threads.submit(read_twice, Lake(lake.uri), who, label, now) for who, label in both]
        for call in calls:
            call.result()
    reading = work_list.find(lake, KEY)
    assert sorted((read.who, read.step) for read in reading.reads) == [
        *(("ana", FINAL), ("ana", FIRST), ("ben", FINAL), ("ben", FIRST))
    ]
    first = reading.finals[0]
    assert label_rows(lake) == [(first.label, first.who, True)]


def test_a_label_that_a_killed_process_has_not_written_is_written_later(
    lake: Lake, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_list.add(lake, [item(now)])
    with monkeypatch.context() as patch:
        patch.setattr(work_list, "settle", lambda *_: 0)
        read_twice(lake, "ana", "glioma", now)
    assert label_rows(lake) == []
    every = work_list.readings(lake, "brain")
    assert [work_list.settle(lake, every) for _ in range(2)] == [1, 0]
    assert label_rows(lake) == [("glioma", "ana", True)]


def test_an_image_that_is_not_on_the_list_is_not_read(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    with pytest.raises(UnknownNameError, match="is not on the work list"):
        say(lake, "ana", FIRST, "glioma", now, WorkKey("brain", "f" * 64))


def test_nothing_is_read_while_an_erasure_is_under_way(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    erasure.begin(lake, "erase-1")
    with pytest.raises(StaleError, match="an erasure is under way"):
        say(lake, "ana", FIRST, "glioma", now)


def test_what_was_shown_before_a_final_read_is_kept(lake: Lake, now: datetime) -> None:
    work_list.add(lake, [item(now)])
    say(lake, "ana", FIRST, "glioma", now)
    shown = {"label": "pituitary", "version": "3"}
    work_list.record(
        lake, KEY, Read(who="ana", step=FINAL, label="glioma", at=now, note="edge", shown=shown)
    )
    final = work_list.find(lake, KEY).by("ana", FINAL)
    assert final is not None
    assert (final.shown, final.note) == (shown, "edge")
