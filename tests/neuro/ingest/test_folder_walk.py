"""What is followed below a folder, and what is counted instead."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from neuro.errors import ConfigError, NeuroError
from neuro.ingest import folder_walk
from neuro.ingest.folder_walk import BROKEN, CIRCLE, HIDDEN, NO_FILE, OUTSIDE, Walk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source of one file, beside another folder of one file."""
    for name in ("in/a/1.png", "away/2.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    return Path(os.path.realpath(tmp_path / "in"))


def walk(source: Path, *follow: Path) -> tuple[dict[str, bytes], Mapping[str, str]]:
    """Bytes by name, and the reason of each thing that is skipped, by name."""
    done = Walk(str(source), [os.path.realpath(place) for place in follow]).run()
    return (
        {name: path.read_bytes() for name, path in done.files},
        {one.name: one.reason for one in done.skipped},
    )


def test_links_into_the_source_are_followed(source: Path) -> None:
    (source / "b").symlink_to("a")
    (source / "c.png").symlink_to(source / "a" / "1.png")
    files, skipped = walk(source)
    assert files == dict.fromkeys(("a/1.png", "b/1.png", "c.png"), b"in/a/1.png")
    assert skipped == {}


def test_a_link_into_a_hidden_folder_of_the_source_is_followed(source: Path) -> None:
    (source / ".annex").mkdir()
    (source / "a" / "1.png").rename(source / ".annex" / "key")
    (source / "a" / "1.png").symlink_to("../.annex/key")
    assert walk(source) == ({"a/1.png": b"in/a/1.png"}, {".annex": HIDDEN})


def test_links_out_of_the_source_are_counted(source: Path) -> None:
    (source / "b").symlink_to(source.parent / "away")
    (source / "a" / "passwd.png").symlink_to("/etc/passwd")
    (source / "a" / "up.png").symlink_to("../../away/2.png")
    (source / "a" / "twice.png").symlink_to("up.png")
    files, skipped = walk(source)
    assert list(files) == ["a/1.png"]
    assert skipped == dict.fromkeys(("b", "a/passwd.png", "a/up.png", "a/twice.png"), OUTSIDE)


def test_a_folder_whose_name_only_begins_like_the_source_lies_outside(source: Path) -> None:
    beside = source.with_name("in2")
    beside.mkdir()
    (beside / "x.png").write_bytes(b"x")
    (source / "x.png").symlink_to(beside / "x.png")
    assert walk(source)[1] == {"x.png": OUTSIDE}


def test_a_folder_that_is_named_is_followed_and_what_lies_in_it_under_the_links_name(
    source: Path,
) -> None:
    away = source.parent / "away"
    (source / "b").symlink_to(away)
    (away / "more.png").symlink_to("/etc/passwd")
    files, skipped = walk(source, away)
    assert files == {"a/1.png": b"in/a/1.png", "b/2.png": b"away/2.png"}
    assert skipped == {"b/more.png": OUTSIDE}


def test_circles_broken_links_pipes_and_devices_are_counted_and_never_hang(source: Path) -> None:
    away = source.parent / "away"
    (source / "loop").symlink_to("loop")
    (source / "one").symlink_to("two")
    (source / "two").symlink_to("one")
    (source / "a" / "self").symlink_to(".")
    (source / "a" / "up").symlink_to("..")
    (source / "b").symlink_to(away)
    (away / "back").symlink_to(source)
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "null.png").symlink_to("/dev/zero")
    os.mkfifo(source / "a" / "pipe.png")
    (source / "a" / "to_pipe.png").symlink_to("pipe.png")
    files, skipped = walk(source, away)
    assert sorted(files) == ["a/1.png", "b/2.png"]
    circles = ("loop", "one", "two", "a/self", "a/up", "b/back")
    expected = {"gone.png": BROKEN, "null.png": OUTSIDE} | dict.fromkeys(circles, CIRCLE)
    assert skipped == expected | dict.fromkeys(("a/pipe.png", "a/to_pipe.png"), NO_FILE)


def test_links_that_multiply_are_stopped(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_walk, "_MAX_BEHIND_LINKS", 1000)
    for n in range(12):
        (source / f"l{n}").mkdir()
        for way in "xy":
            (source / f"l{n}" / way).symlink_to(source / f"l{n + 1}")
    (source / "l12").mkdir()
    with pytest.raises(ConfigError, match="more than 1,000 files"):
        walk(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_ends_with_its_name(source: Path) -> None:
    (source / "a").chmod(0)
    with pytest.raises(NeuroError, match=r"in/a cannot be read"):
        walk(source)


def test_what_systems_leave_is_hidden(source: Path) -> None:
    for name in ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"):
        (source / name).mkdir()
        (source / name / "x.png").write_bytes(b"x")
    (source / "a" / ".DS_Store").write_bytes(b"x")
    files, skipped = walk(source)
    assert list(files) == ["a/1.png"]
    assert set(skipped.values()) == {HIDDEN}
    assert len(skipped) == 5
