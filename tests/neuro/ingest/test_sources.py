import bz2
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from neuro.errors import ConfigError
from neuro.ingest import delivery, sources
from neuro.ingest.archives import Limits
from neuro.problems import problem

Pack = Callable[[Path, Mapping[str, bytes]], None]
FILES = {"glioma/a.jpg": b"one", "notumor/b.jpg": b"two"}
SMALL = Limits(files=3, file_bytes=200_000, total_bytes=400_000, ratio=20, ratio_from_bytes=150_000)


def zip_of(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)


def tar_of(path: Path, files: Mapping[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, raw in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))


PACKERS: dict[str, Pack] = {
    "in.zip": zip_of,
    "in.tar": tar_of,
    "in.tar.gz": lambda path, files: tar_of(path, files, "w:gz"),
    "in.tar.xz": lambda path, files: tar_of(path, files, "w:xz"),
}
EVERY_KIND = pytest.mark.parametrize("name", PACKERS)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def contents(source: Path, scratch: Path, limits: Limits | None = None) -> dict[str, bytes]:
    with sources.opened(str(source), scratch, limits) as listing:
        return {found.name: found.path.read_bytes() for found in listing.files}


def everything_below(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")))


@EVERY_KIND
def test_an_archive_gives_its_files_by_their_names(
    tmp_path: Path, scratch: Path, name: str
) -> None:
    PACKERS[name](tmp_path / name, FILES)
    assert contents(tmp_path / name, scratch) == FILES


@EVERY_KIND
def test_an_archive_is_known_by_its_bytes_and_not_by_its_name(
    tmp_path: Path, scratch: Path, name: str
) -> None:
    PACKERS[name](tmp_path / "upload", FILES)
    assert contents(tmp_path / "upload", scratch) == FILES


def test_a_member_is_written_under_a_number_and_removed_afterwards(
    tmp_path: Path, scratch: Path
) -> None:
    zip_of(tmp_path / "in.zip", FILES)
    with sources.opened(str(tmp_path / "in.zip"), scratch) as listing:
        assert {found.path.name for found in listing.files} == {"00000001", "00000002"}
    assert list(everything_below(scratch)) == []


@EVERY_KIND
@pytest.mark.parametrize(
    "member", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"]
)
def test_a_name_that_points_outside_is_refused_and_nothing_is_written(
    tmp_path: Path, scratch: Path, name: str, member: str
) -> None:
    PACKERS[name](tmp_path / name, {member: b"evil"})
    before = list(everything_below(tmp_path))
    with pytest.raises(ConfigError, match=r"evil\.jpg' points outside the archive"):
        contents(tmp_path / name, scratch)
    assert [p for p in everything_below(tmp_path) if p != "scratch"] == before


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({f"{n}.jpg": b"x" for n in range(4)}, r"more than 3 files, at '3\.jpg'"),
        ({"a.jpg": os.urandom(300_000)}, r"more than 200,000 bytes a file, at 'a\.jpg'"),
        (
            {f"{n}.jpg": os.urandom(150_000) for n in range(3)},
            r"more than 400,000 bytes in all, at '2\.jpg'",
        ),
        ({"a.jpg": bytes(190_000)}, r"more than 20 times its packed size, at 'a\.jpg'"),
    ],
    ids=["files", "one file", "all files", "ratio"],
)
@pytest.mark.parametrize("name", ["in.zip", "in.tar.gz", "in.tar.xz"])
def test_a_bomb_is_stopped_at_the_limit_that_it_breaks(
    tmp_path: Path, scratch: Path, name: str, files: Mapping[str, bytes], limit: str
) -> None:
    PACKERS[name](tmp_path / name, files)
    with pytest.raises(ConfigError, match=limit):
        contents(tmp_path / name, scratch, SMALL)
    assert list(everything_below(scratch)) == []


def test_a_bomb_in_the_header_of_a_tar_is_stopped_too(tmp_path: Path, scratch: Path) -> None:
    tar_of(tmp_path / "in.tar.gz", {"n" * 1_000_000: b""}, "w:gz")
    with pytest.raises(ConfigError, match="its first header"):
        contents(tmp_path / "in.tar.gz", scratch, SMALL)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(tmp_path: Path, scratch: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        member = tarfile.TarInfo("passwd.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ConfigError, match=r"'passwd\.jpg' is a link, a device"):
        contents(tmp_path / "in.tar", scratch)


def test_a_link_in_a_zip_is_refused(tmp_path: Path, scratch: Path) -> None:
    member = zipfile.ZipInfo("passwd.jpg")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(ConfigError, match=r"'passwd\.jpg' is a link"):
        contents(tmp_path / "in.zip", scratch)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@EVERY_KIND
def test_two_members_of_one_name_are_refused(tmp_path: Path, scratch: Path, name: str) -> None:
    PACKERS[name](tmp_path / name, {"a/x.jpg": b"1", "a//x.jpg": b"2"})
    with pytest.raises(ConfigError, match=r"'a/x\.jpg' twice"):
        contents(tmp_path / name, scratch)


@EVERY_KIND
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_an_archive_cut_short_is_named_as_damaged(
    tmp_path: Path, scratch: Path, name: str, keep: float
) -> None:
    PACKERS[name](tmp_path / name, {f"{n}.jpg": os.urandom(20_000) for n in range(5)})
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(ConfigError, match=r"in\..* is damaged .* copy it again"):
        contents(tmp_path / name, scratch)
    assert list(everything_below(scratch)) == []


def test_a_broken_header_inside_a_tar_is_not_taken_for_its_end(
    tmp_path: Path, scratch: Path
) -> None:
    tar_of(tmp_path / "in.tar", FILES)
    raw = bytearray((tmp_path / "in.tar").read_bytes())
    raw[1024] ^= 1  # the second header
    (tmp_path / "in.tar").write_bytes(raw)
    with pytest.raises(ConfigError, match="broken header"):
        contents(tmp_path / "in.tar", scratch)


def test_a_flipped_bit_in_a_zip_is_found(tmp_path: Path, scratch: Path) -> None:
    zip_of(tmp_path / "in.zip", {"a.jpg": os.urandom(5000)})
    raw = bytearray((tmp_path / "in.zip").read_bytes())
    raw[2000] ^= 1
    (tmp_path / "in.zip").write_bytes(raw)
    with pytest.raises(ConfigError, match="is damaged"):
        contents(tmp_path / "in.zip", scratch)


@pytest.mark.parametrize("name", ["in.zip", "in.tar.gz"])
def test_a_file_that_is_only_named_like_an_archive_is_damaged(
    tmp_path: Path, scratch: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="is damaged"):
        contents(tmp_path / name, scratch)


def test_a_gzip_that_holds_no_tar_is_damaged(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text " * 1000))
    with pytest.raises(ConfigError, match="is damaged or of an unknown kind"):
        contents(tmp_path / "a.gz", scratch)


def test_an_encrypted_zip_says_so(tmp_path: Path, scratch: Path) -> None:
    zip_of(tmp_path / "in.zip", {"a.jpg": b"x"})
    raw = bytearray((tmp_path / "in.zip").read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "in.zip").write_bytes(raw)
    with pytest.raises(ConfigError, match="is encrypted; unpack it"):
        contents(tmp_path / "in.zip", scratch)


def test_what_an_apple_computer_adds_to_a_zip_is_left_out(tmp_path: Path, scratch: Path) -> None:
    added = {"__MACOSX/glioma/._a.jpg": b"x", "glioma/.DS_Store": b"x"}
    zip_of(tmp_path / "in.zip", {**FILES, **added})
    assert contents(tmp_path / "in.zip", scratch) == FILES


def test_a_single_file_is_a_source_of_one(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "slice").write_bytes(b"image")
    assert contents(tmp_path / "slice", scratch) == {"slice": b"image"}
    assert not scratch.exists()


def test_names_that_are_no_utf8_are_stored_and_kept_apart(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "in").mkdir()
    for raw in (b"M\xfcller.jpg", b"M\xf6ller.jpg"):
        (tmp_path / "in" / os.fsdecode(raw)).write_bytes(raw)
    assert contents(tmp_path / "in", scratch) == {
        r"M\xfcller.jpg": b"M\xfcller.jpg",
        r"M\xf6ller.jpg": b"M\xf6ller.jpg",
    }


def test_an_address_that_is_no_bucket_is_refused(scratch: Path) -> None:
    with (
        pytest.raises(ConfigError, match="is no s3:// address"),
        sources.opened("https://example.org/in.zip", scratch),
    ):
        pass


def test_what_a_killed_run_left_is_removed_and_what_is_in_use_stays(
    tmp_path: Path, scratch: Path
) -> None:
    zip_of(tmp_path / "in.zip", FILES)
    hold = (
        "import sys, time; from pathlib import Path; from neuro.ingest import sources\n"
        "with sources.opened(sys.argv[1], Path(sys.argv[2])): print(flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "in.zip"), str(scratch)],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    (held,) = scratch.iterdir()
    assert contents(tmp_path / "in.zip", scratch) == FILES
    assert held.exists()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert contents(tmp_path / "in.zip", scratch) == FILES
    assert not held.exists()


@pytest.mark.parametrize("wrapper", ["", "brain/"])
def test_an_archive_may_wrap_its_class_folders_into_one(
    tmp_path: Path, scratch: Path, wrapper: str
) -> None:
    zip_of(tmp_path / "in.zip", {wrapper + name: raw for name, raw in FILES.items()})
    with sources.opened(str(tmp_path / "in.zip"), scratch) as listing:
        read = delivery.read(listing, problem.load("brain"))
    assert {item.source_name: item.label for item in read.items} == {
        "glioma/a.jpg": "glioma",
        "notumor/b.jpg": "notumor",
    }


def test_an_archive_of_one_class_folder_keeps_its_label(tmp_path: Path, scratch: Path) -> None:
    zip_of(tmp_path / "in.zip", {"glioma/a.jpg": b"1", "glioma/b.jpg": b"2"})
    with sources.opened(str(tmp_path / "in.zip"), scratch) as listing:
        read = delivery.read(listing, problem.load("brain"))
    assert {item.label for item in read.items} == {"glioma"}


def test_an_archive_of_one_split_folder_keeps_its_split(tmp_path: Path, scratch: Path) -> None:
    zip_of(tmp_path / "in.zip", {"Testing/glioma/a.jpg": b"1"})
    with sources.opened(str(tmp_path / "in.zip"), scratch) as listing:
        (item,) = delivery.read(listing, problem.load("brain")).items
    assert (item.label, item.given_split) == ("glioma", "test")


def test_an_archive_of_one_unknown_folder_is_no_delivery_without_labels(
    tmp_path: Path, scratch: Path
) -> None:
    zip_of(tmp_path / "in.zip", {"gliom/a.jpg": b"1"})
    with (
        sources.opened(str(tmp_path / "in.zip"), scratch) as listing,
        pytest.raises(ConfigError, match="'gliom'"),
    ):
        delivery.read(listing, problem.load("brain"))


def test_a_table_inside_a_wrapped_archive_is_found(tmp_path: Path, scratch: Path) -> None:
    table = b"image_id,lesion_id,dx,dx_type,age,sex,localization\nI1,L1,mel,histo,,,\n"
    zip_of(tmp_path / "in.zip", {"s/HAM10000_metadata.csv": table, "s/part/I1.jpg": b"1"})
    with sources.opened(str(tmp_path / "in.zip"), scratch) as listing:
        (item,) = delivery.read(listing, problem.load("skin")).items
    assert (item.source_name, item.label) == ("part/I1.jpg", "mel")


def test_one_image_needs_no_table(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "I1.jpg").write_bytes(b"1")
    with sources.opened(str(tmp_path / "I1.jpg"), scratch) as listing:
        (item,) = delivery.read(listing, problem.load("skin")).items
    assert item.label == ""


OTHER_KINDS = {
    "in.7z": b"7z\xbc\xaf\x27\x1c\0\4",
    "in.rar": b"Rar!\x1a\7\0",
    "in.tar.bz2": bz2.compress(b"x"),
    "in.tar.zst": b"\x28\xb5\x2f\xfd",
    "in.iso": b"\0",
    "in": b"7z\xbc\xaf\x27\x1c",
    "in.png": b"Rar!\x1a\7\1\0",
    "IN.RAR": b"",
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_an_archive_of_another_kind_is_refused_with_those_that_work(
    tmp_path: Path, scratch: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(OTHER_KINDS[name] + bytes(50))
    with pytest.raises(ConfigError, match=r"not unpacked here.*\.zip, \.tar, \.tar\.gz") as refused:
        contents(tmp_path / name, scratch)
    assert refused.value.exit_code == 2


def test_names_are_compared_with_accents_in_one_way(tmp_path: Path, scratch: Path) -> None:
    name = unicodedata.normalize("NFD", "Mélanome/é.png")
    (tmp_path / "in" / name).parent.mkdir(parents=True)
    (tmp_path / "in" / name).write_bytes(b"x")
    zip_of(tmp_path / "in.zip", {name: b"x"})
    for source in ("in", "in.zip"):
        assert list(contents(tmp_path / source, scratch)) == [
            "M\N{LATIN SMALL LETTER E WITH ACUTE}lanome/\N{LATIN SMALL LETTER E WITH ACUTE}.png"
        ]


@pytest.mark.parametrize("packed", [False, True])
def test_two_names_that_differ_only_in_how_accents_are_written_are_refused(
    tmp_path: Path, scratch: Path, packed: bool
) -> None:
    (tmp_path / "in").mkdir()
    names = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    for name in names:
        (tmp_path / "in" / name).write_bytes(b"x")
    zip_of(tmp_path / "in.zip", dict.fromkeys(names, b"x"))
    with pytest.raises(ConfigError, match="differ only in how accents are written"):
        contents(tmp_path / ("in.zip" if packed else "in"), scratch)


def test_what_is_hidden_is_counted_by_both_doors(tmp_path: Path, scratch: Path) -> None:
    files = {"a/x.png": b"x", "a/.DS_Store": b"x", "__MACOSX/y.png": b"y"}
    zip_of(tmp_path / "in.zip", files)
    for name, raw in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(raw)
    for source in ("in", "in.zip"):
        with sources.opened(str(tmp_path / source), scratch) as listing:
            assert [file.name for file in listing.files] == ["a/x.png"]
            assert [one.reason for one in listing.skipped] == ["hidden", "hidden"]


def test_a_link_to_a_folder_elsewhere_ends_before_any_work_unless_it_is_followed(
    tmp_path: Path, scratch: Path
) -> None:
    for name in ("in/a", "away"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.png").write_bytes(b"x")
    (tmp_path / "in" / "cyst").symlink_to(tmp_path / "away")
    with pytest.raises(ConfigError, match=r"'cyst' .* --follow .*/away") as refused:
        contents(tmp_path / "in", scratch)
    assert refused.value.exit_code == 2
    away = str(tmp_path / "away")
    with sources.opened(str(tmp_path / "in"), scratch, follow=[away]) as listing:
        assert [file.name for file in listing.files] == ["a/x.png", "cyst/x.png"]
    with (
        pytest.raises(ConfigError, match=r"--follow .*gone is no folder"),
        sources.opened(str(tmp_path / "in"), scratch, follow=[str(tmp_path / "gone")]),
    ):
        pass
