import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro.ingest import delivery, inbox
from neuro.ingest.inbox import InboxScan
from neuro.problems import problem

Deliver = Callable[..., Path]
LATER = datetime.now(UTC) + timedelta(hours=1)


def scan(
    folder: Path, read_before: frozenset[str] = frozenset(), now: datetime = LATER
) -> InboxScan:
    return inbox.scan(delivery.read(folder, problem.load("brain")), read_before, now, 60.0)


def names(found: InboxScan) -> list[str]:
    return [item.source_name for item in found.fresh.items]


@pytest.fixture
def folder(deliver: Deliver) -> Path:
    return deliver("in", {"glioma/a.jpg": b"1", "glioma/b.jpg": b"2"})


def test_what_was_read_is_not_read_again(folder: Path, deliver: Deliver) -> None:
    first = scan(folder)
    deliver("in", {"glioma/c.jpg": b"3"})
    again = scan(folder, frozenset(first.marks.values()))
    assert (names(first), names(again)) == (["glioma/a.jpg", "glioma/b.jpg"], ["glioma/c.jpg"])
    assert again.known == frozenset(first.marks.values())


@pytest.mark.parametrize("what", ["bytes", "time", "name"])
def test_a_file_is_new_when_its_size_its_time_or_its_name_is(folder: Path, what: str) -> None:
    read = frozenset(scan(folder).marks.values())
    path = folder / "glioma" / "a.jpg"
    before = path.stat()
    if what == "bytes":
        path.write_bytes(b"more")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    else:
        path.rename(path.with_name("a2.jpg"))
    assert [name[:8] for name in names(scan(folder, read))] == ["glioma/a"]


def test_a_label_that_arrives_later_is_news(deliver: Deliver) -> None:
    table = "image_id,lesion_id,dx,dx_type,age,sex,localization\nI1,L1,{},,,,\nI2,L2,nv,,,,\n"
    files = {"I1.jpg": b"1", "I2.jpg": b"2"}
    folder = deliver("in", files | {"HAM10000_metadata.csv": table.format("").encode()})
    skin = problem.load("skin")
    before = inbox.scan(delivery.read(folder, skin), frozenset(), LATER, 60.0)
    (folder / "HAM10000_metadata.csv").write_text(table.format("mel"))
    read = frozenset(before.marks.values())
    assert names(inbox.scan(delivery.read(folder, skin), read, LATER, 60.0)) == ["I1.jpg"]


def test_a_file_that_may_still_be_written_waits(folder: Path) -> None:
    found = scan(folder, now=datetime.now(UTC))
    assert (names(found), found.waiting) == ([], 2)


def test_a_copy_that_keeps_an_old_time_waits_all_the_same(folder: Path) -> None:
    for path in folder.rglob("*.jpg"):
        os.utime(path, (0, 0))
    assert scan(folder, now=datetime.now(UTC)).waiting == 2


def test_a_file_that_vanishes_is_skipped(folder: Path) -> None:
    found = delivery.read(folder, problem.load("brain"))
    (folder / "glioma" / "a.jpg").unlink()
    assert names(inbox.scan(found, frozenset(), LATER, 60.0)) == ["glioma/b.jpg"]


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    state = tmp_path / "polled" / "brain.json"
    inbox.save_marks(state, "brain-2", ["x", "y"])
    assert inbox.load_marks(state, ["brain-1", "brain-2"]) == {"x", "y"}
    assert [path.name for path in state.parent.iterdir()] == ["brain.json"]


def test_a_lake_without_the_release_has_read_nothing(tmp_path: Path) -> None:
    inbox.save_marks(tmp_path / "brain.json", "brain-2", ["x"])
    assert inbox.load_marks(tmp_path / "brain.json", ["brain-1"]) == frozenset()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"marks": []}', '{"release": [], "marks": 1}'])
def test_a_broken_memory_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "brain.json").write_text(text)
    assert inbox.load_marks(tmp_path / "brain.json", ["brain-1"]) == frozenset()


def test_no_name_is_written_down(folder: Path, tmp_path: Path) -> None:
    inbox.save_marks(tmp_path / "brain.json", "r", scan(folder).marks.values())
    assert "a.jpg" not in (tmp_path / "brain.json").read_text()
