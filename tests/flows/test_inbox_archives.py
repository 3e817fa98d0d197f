"""An archive in the inbox is a delivery that is read once; a broken one stops nothing else."""

import shutil
import zipfile
from pathlib import Path

import pytest

from flows.ingest import ingest
from neuro.lake.lake import Lake
from tests.flows.conftest import Draw

COUNTS = ("seen", "accepted", "repeated", "quarantined", "waiting")


def counts() -> list[object]:
    receipt = ingest.fn()
    return [receipt[name] for name in COUNTS]


@pytest.fixture
def inbox(home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inbox with an archive of six phantoms, which counts a file as written at once."""
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", "0")
    folder = home / "inbox" / "brain"
    folder.mkdir(parents=True)
    shutil.make_archive(str(folder / "monday"), "zip", draw(["glioma", "notumor"], 3))
    return folder


def waiting(home: Path) -> list[tuple[str, str, str, bytes]]:
    rows = Lake(str(home / "lake")).read("quarantine").to_pylist()
    names = ("source_name", "reason", "message", "raw")
    return [tuple(row[name] for name in names) for row in rows]  # type: ignore[misc]


def test_an_archive_is_read_once_and_leaves_nothing_unpacked(inbox: Path, home: Path) -> None:
    assert counts() == [6, 6, 0, 0, 0]
    assert counts() == [0] * 5
    assert list((home / "scratch").iterdir()) == []
    rows = Lake(str(home / "lake")).read("samples")["source_name"].to_pylist()
    assert min(rows) == "monday.zip/glioma/delivery_0_000.png"


def test_an_archive_of_any_kind_is_read_beside_files(inbox: Path, draw: Draw) -> None:
    shutil.make_archive(str(inbox / "b"), "xztar", draw(["glioma"], 2, name="b", seed=1))
    shutil.copytree(draw(["notumor"], 2, name="c", seed=2), inbox, dirs_exist_ok=True)
    assert counts() == [10, 10, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("garbage", "does not begin like a zip"),
        ("cut", "damaged or of an unknown kind"),
        ("outside", "a name in it points outside"),
        ("class", "does not fit problem brain: `neuro ingest` of this file says where"),
        ("empty", "it holds no images"),
    ],
)
def test_a_broken_archive_waits_in_quarantine_while_the_rest_goes_on(
    inbox: Path, home: Path, kind: str, said: str
) -> None:
    bad = inbox / "Doe^Jane.zip"
    if kind in ("garbage", "cut"):
        raw = (inbox / "monday.zip").read_bytes()
        bad.write_bytes(b"no archive" if kind == "garbage" else raw[: len(raw) // 2])
    else:
        name = {"outside": "../x.png", "class": "Doe/x.png", "empty": "x.txt"}[kind]
        with zipfile.ZipFile(bad, "w") as archive:
            archive.writestr(name, b"1")
    assert counts() == [7, 6, 0, 1, 0]
    (row,) = waiting(home)
    assert (row[0], row[1], row[3]) == ("Doe^Jane.zip", "archive", b"")
    assert said in row[2]
    assert "Doe" not in row[2]
    assert counts() == [0] * 5


def test_a_broken_archive_that_is_replaced_is_read(inbox: Path) -> None:
    raw = (inbox / "monday.zip").read_bytes()
    (inbox / "monday.zip").write_bytes(raw[:-30])
    assert counts() == [1, 0, 0, 1, 0]
    (inbox / "monday.zip").write_bytes(raw)
    assert counts() == [6, 6, 0, 0, 0]


def test_an_archive_whose_manifest_is_refused_stops_nothing_else(
    inbox: Path, home: Path, tmp_path: Path
) -> None:
    from importlib import resources

    text = resources.files("neuro.problems").joinpath("builtin", "brain.toml").read_text("utf-8")
    rule = "[groups]\npattern = '^(delivery_[0-9]+)'\nrequired = true"
    (tmp_path / "p.toml").write_text(text.replace("[groups]", rule))
    with zipfile.ZipFile(inbox / "b.zip", "w") as archive:
        archive.writestr("glioma/nobody.png", b"1")
    receipt = ingest.fn(problem=str(tmp_path / "p.toml"))
    assert [receipt[name] for name in COUNTS] == [7, 6, 0, 1, 0]
    assert "group_key: missing 1" in waiting(home)[0][2]
