"""What lies in a delivery beside its images, through the whole flow and by both ways in."""

import hashlib
import os
import shutil
import unicodedata
import zipfile
from pathlib import Path

import pytest

from flows.ingest import ingest
from neuro.errors import ConfigError
from neuro.ingest import vet_new
from neuro.lake import releases
from neuro.lake.lake import Lake
from tests.flows.conftest import Draw

COUNTS = ("seen", "accepted", "repeated", "quarantined")
SECRET = b"SECRET-of-another-user"


@pytest.fixture(params=["source", "inbox"])
def door(
    request: pytest.FixtureRequest, home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of six phantoms, that is named or is the inbox."""
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", "0")
    folder = draw(["glioma", "notumor"], 3)
    if request.param == "source":
        return folder
    return Path(shutil.copytree(folder, home / "inbox" / "brain"))


def enter(door: Path, **parameters: object) -> dict[str, object]:
    """Ingest through this door."""
    source = None if "inbox" in door.parts else str(door)
    return ingest.fn(source=source, **parameters)


def counts(receipt: dict[str, object]) -> list[object]:
    return [receipt[name] for name in COUNTS]


def everything_written(home: Path) -> bytes:
    lake = (path for path in (home / "lake").rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in lake)


def test_links_pipes_and_stray_files_are_counted_and_named_and_nothing_is_read(
    door: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (door / "glioma" / "leak.png").symlink_to(tmp_path / "secret.txt")
    (door / "glioma" / "self.png").symlink_to("self.png")
    (door / "glioma" / "gone.png").symlink_to("nothing.png")
    os.mkfifo(door / "notumor" / "pipe.png")
    (door / "glioma" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    (door / "x.xml").write_bytes(b"<a/>")
    (door / "notes.csv").write_bytes("médecin;José\n".encode("latin-1"))
    (door / "glioma" / ".DS_Store").write_bytes(b"x")
    receipt = enter(door)
    assert counts(receipt) == [6, 6, 0, 0]
    assert receipt["skipped"] == {
        "hidden": 1,
        "link out of the source": 1,
        "link to itself": 1,
        "link to nothing": 1,
        "no image": 3,
        "pipe or device": 1,
    }
    assert receipt["skipped_names"] == {
        "hidden": ["glioma/.DS_Store"],
        "link out of the source": ["glioma/leak.png"],
        "link to itself": ["glioma/self.png"],
        "link to nothing": ["glioma/gone.png"],
        "no image": ["glioma/Thumbs.db", "notes.csv", "x.xml"],
        "pipe or device": ["notumor/pipe.png"],
    }
    assert SECRET not in everything_written(home)


def test_a_file_that_becomes_a_link_while_it_waits_is_not_read(
    door: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    victim = min((door / "glioma").iterdir())
    hash_files = vet_new.hash_files

    def swap_first(items: object) -> object:
        victim.unlink()
        victim.symlink_to(tmp_path / "secret.txt")
        return hash_files(items)  # type: ignore[arg-type]

    monkeypatch.setattr(vet_new, "hash_files", swap_first)
    receipt = enter(door)
    assert counts(receipt) == [6, 5, 0, 1]
    assert receipt["reasons"] == {"unreadable": 1}
    assert SECRET not in everything_written(home)
    digests = Lake(str(home / "lake")).read("quarantine")["sha256"].to_pylist()
    assert hashlib.sha256(SECRET).hexdigest() not in digests


@pytest.mark.parametrize("target", ["pituitary", "nowhere", "meningioma"])
def test_a_class_folder_behind_a_link_ends_before_any_work(
    door: Path, home: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / "pituitary").mkdir()
    places = {"pituitary": tmp_path / "pituitary", "nowhere": tmp_path / "x", "meningioma": "."}
    (door / "meningioma").symlink_to(places[target])
    with pytest.raises(
        ConfigError, match=r"'meningioma' .* (--follow|take the link out)"
    ) as refused:
        enter(door)
    assert refused.value.exit_code == 2
    assert not (home / "lake" / "images.lance").exists() or not releases.history(
        Lake(str(home / "lake")), "brain"
    )


def test_a_class_folder_behind_a_link_enters_where_it_is_followed(
    door: Path, draw: Draw, tmp_path: Path
) -> None:
    away = draw(["meningioma"], 2, name="away", seed=5)
    (door / "meningioma").symlink_to(away / "meningioma")
    receipt = enter(door, follow=[str(away)])
    assert counts(receipt) == [8, 8, 0, 0]
    assert receipt["skipped"] == {}


def test_an_archive_of_another_kind_waits_in_the_inbox_with_its_remedy(
    home: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_INBOX_SETTLE_S", "0")
    inbox = Path(shutil.copytree(draw(["glioma"], 2), home / "inbox" / "brain"))
    (inbox / "x.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(50))
    assert counts(ingest.fn()) == [3, 2, 0, 1]
    (message,) = Lake(str(home / "lake")).read("quarantine")["message"].to_pylist()
    assert ".zip, .tar" in message


@pytest.mark.parametrize("inner", ["x.7z", "plain.zip", "readme.txt"])
def test_a_source_without_images_names_what_there_is_and_what_would_work(
    home: Path, tmp_path: Path, inner: str
) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(inner, b"PK\3\4")
    with pytest.raises(ConfigError, match=rf"holds no images: .*{inner}.*\.zip, \.tar") as refused:
        ingest.fn(source=str(tmp_path / "in.zip"))
    assert refused.value.exit_code == 2


def test_a_delivery_of_which_nothing_is_accepted_makes_no_release(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    receipt = ingest.fn(source=str(tmp_path / "in"))
    assert counts(receipt) == [1, 0, 0, 1]
    assert (receipt["release"], receipt["content_hash"]) == (None, None)
    lake = Lake(str(home / "lake"))
    assert releases.history(lake, "brain") == []
    assert lake.read("quarantine").num_rows == 1
    assert counts(ingest.fn(source=str(tmp_path / "in"))) == [1, 0, 0, 1]
    assert lake.read("quarantine").num_rows == 1


def test_classes_whose_accents_are_written_in_two_ways_are_one(
    home: Path, draw: Draw, tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text(
        unicodedata.normalize("NFC", 'classes = ["Mélanome", "b"]\n')
        + "\n".join(f'{key} = "t"' for key in ("name", "dataset", "intended_use", "licence"))
        + '\ncitation = "t"\n',
        encoding="utf-8",
    )
    folder = draw(["a", "b"], 2)
    (folder / "a").rename(folder / unicodedata.normalize("NFD", "Mélanome"))
    assert counts(ingest.fn(source=str(folder), problem=str(tmp_path / "p.toml"))) == [4, 4, 0, 0]


def test_a_folder_of_links_says_that_they_can_be_followed(
    home: Path, draw: Draw, tmp_path: Path
) -> None:
    store = draw(["glioma"], 2, name="store")
    (tmp_path / "in" / "glioma").mkdir(parents=True)
    for path in (store / "glioma").iterdir():
        (tmp_path / "in" / "glioma" / path.name).symlink_to(path)
    with pytest.raises(ConfigError, match=r"2 x link out of the source .* --follow the folder"):
        ingest.fn(source=str(tmp_path / "in"))
    receipt = ingest.fn(source=str(tmp_path / "in"), follow=[str(store)])
    assert counts(receipt) == [2, 2, 0, 0]
