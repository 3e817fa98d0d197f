"""Where a delivery comes from, through the whole ingest flow without a server."""

import shutil
import zipfile
from pathlib import Path

import pytest

from flows.ingest import ingest
from tasks import ingest as steps
from tests.flows.conftest import Draw

COUNTS = ("seen", "accepted", "repeated", "quarantined", "waiting")


def counts(receipt: dict[str, object]) -> list[object]:
    return [receipt[name] for name in COUNTS]


@pytest.fixture
def inbox(home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inbox of six phantoms that counts a file as written at once."""
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", "0")
    return Path(shutil.copytree(draw(["glioma", "notumor"], 3), home / "inbox" / "brain"))


def test_an_inbox_is_read_once(inbox: Path) -> None:
    first, second = ingest.fn(), ingest.fn()
    assert (counts(first), counts(second)) == ([6, 6, 0, 0, 0], [0] * 5)
    assert second["release"] == first["release"]


def test_only_what_is_new_in_an_inbox_is_read(inbox: Path) -> None:
    ingest.fn()
    (inbox / "broken.png").write_bytes(b"no image")
    assert counts(ingest.fn()) == [1, 0, 0, 1, 0]
    assert counts(ingest.fn()) == [0] * 5


def test_a_file_still_being_written_is_not_lost(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", "3600")
    assert counts(ingest.fn()) == [0, 0, 0, 0, 6]
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", "0")
    assert counts(ingest.fn()) == [6, 6, 0, 0, 0]


@pytest.mark.parametrize(("step", "repeated"), [("publish", 0), ("remember", 6)])
def test_a_run_that_dies_before_it_remembers_reads_all_again(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, step: str, repeated: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, step, None)
        with pytest.raises(TypeError):
            ingest.fn()
    assert counts(ingest.fn()) == [6, 6 - repeated, repeated, 0, 0]


def test_another_lake_reads_the_inbox_for_itself(inbox: Path, tmp_path: Path) -> None:
    ingest.fn()
    assert counts(ingest.fn(lake=str(tmp_path / "other")))[0] == 6


def test_a_lake_that_was_lost_gets_the_inbox_again(inbox: Path, home: Path) -> None:
    ingest.fn()
    shutil.rmtree(home / "lake")
    assert counts(ingest.fn())[0] == 6


def test_a_zip_gives_the_same_content_as_its_folder(home: Path, draw: Draw, tmp_path: Path) -> None:
    folder = draw(["glioma", "notumor"], 3)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("delivery/glioma/bad.png", b"no image")
    packed = ingest.fn(source=str(tmp_path / "in.zip"))
    plain = ingest.fn(source=str(folder), lake=str(tmp_path / "other"))
    assert packed["content_hash"] == plain["content_hash"]
    assert counts(packed) == [7, 6, 0, 1, 0]
    assert list((home / "scratch").iterdir()) == []


def test_one_image_is_a_delivery(home: Path, draw: Draw) -> None:
    image = draw(["glioma"], 1) / "glioma" / "delivery_0_000.png"
    assert counts(ingest.fn(source=str(image))) == [1, 1, 0, 0, 0]
