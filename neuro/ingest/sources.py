"""Where images come from: a folder, an archive, one file or a bucket, as a list of local files."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neuro import limits as allowed
from neuro.errors import ConfigError
from neuro.ingest import archives
from neuro.ingest.archives import ArchiveError, Limits

if TYPE_CHECKING:  # imported when the first bucket is read
    from neuro.storage.bucket_store import BucketStore
    from neuro.storage.store import Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One file. name: relative POSIX path in its source; data, never a path to open.

    path: where it lies on this machine; of an object, where it will once it is fetched. entry: the
    object as it was listed, None for a file.
    """

    name: str
    path: Path
    entry: "Entry | None" = None

    @property
    def version(self) -> str:
        """What tells an object from an earlier one of its name; "" for a file."""
        return f"{self.entry.size} {self.entry.e_tag}" if self.entry else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Every visible file of a source, sorted by name. where: the source as it was given.

    bucket: what objects are fetched from. room: a folder where more may be put while it is open.
    """

    where: str
    kind: Literal["folder", "archive", "file", "bucket"]
    files: tuple[SourceFile, ...]
    bucket: "BucketStore | None" = None
    room: Path | None = None


@contextmanager
def opened(
    source: str, scratch: Path, limits: Limits | None = None, endpoint: str | None = None
) -> Iterator[Listing]:
    """The files of a source, for as long as the context lasts.

    scratch: where archives and buckets are unpacked, in a folder that is removed afterwards.
    endpoint: address of the S3 server, None for AWS. Raises ConfigError if the source does not
    exist, or is an archive that is broken, over a limit or not confined to itself.
    """
    path = Path(source)
    if "://" in source:
        with scratch_folder(scratch) as room:
            listing = objects(source, room, endpoint)
            yield replace(listing, files=fetch(listing, listing.files))
    elif not path.is_file():
        yield folder(path)
    elif _is_archive(path):
        with scratch_folder(scratch) as room:
            yield unpacked(path, room, limits)
    else:
        image = SourceFile(name=_printable(path.name), path=path)
        yield Listing(where=source, kind="file", files=(image,))


def _is_archive(path: Path) -> bool:
    try:
        return bool(archives.form_of(path))
    except OSError as error:
        raise allowed.unreadable(error, f"source {path}") from error


def unpacked(path: Path, room: Path, limits: Limits | None = None) -> Listing:
    """The files of an archive, written into ``room``. Raises ArchiveError where it is refused."""
    if not (form := archives.form_of(path)):
        reason = "it does not begin like a zip or tar file"
        raise ArchiveError(f"archive {path} is damaged: {reason}", reason)
    members = archives.unpack(path, form, room, limits or Limits())
    files = [SourceFile(name=_printable(name), path=file) for name, file in members]
    return _listing(str(path), "archive", files)


def objects(uri: str, room: Path, endpoint: str | None = None) -> Listing:
    """The objects below a prefix, none of them fetched yet.

    Each has a path in ``room`` that is a number, so that no name can lead out of it.
    """
    if not uri.startswith("s3://"):
        raise ConfigError(f"source {uri} is no s3:// address; give s3://bucket/prefix or a folder")
    from neuro.storage import bucket_store

    bucket = bucket_store.open(uri, endpoint)
    files = [
        SourceFile(name=entry.key, path=room / f"{number:08d}", entry=entry)
        for number, entry in enumerate(bucket.entries())
        if not entry.key.endswith("/")  # how some tools mark an empty folder
    ]
    return replace(_listing(uri, "bucket", files), bucket=bucket, room=room)


def fetch(listing: Listing, files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """Bring objects of a listing to their paths; returns those that had not gone meanwhile."""
    if listing.bucket is not None:
        entries = [file.entry for file in files if file.entry]
        listing.bucket.fetch(entries, [file.path for file in files])
    return tuple(file for file in files if file.path.exists())


def folder(path: Path) -> Listing:
    """The visible files below a folder. Raises ConfigError if there is no such folder."""
    if not path.is_dir():
        raise ConfigError(
            f"source {path} is no folder, archive or image; give what holds the images "
            f"(archives end in {', '.join(archives.ENDINGS)})"
        )
    return _listing(str(path), "folder", _files_below(path))


def _listing(
    where: str, kind: Literal["folder", "archive", "bucket"], files: Iterable[SourceFile]
) -> Listing:
    visible = [file for file in files if _is_visible(file.name)]
    return Listing(where=where, kind=kind, files=tuple(sorted(visible, key=lambda file: file.name)))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and "/." not in name


def _files_below(root: Path, above: str = "") -> Iterator[SourceFile]:
    try:
        opened = os.scandir(root)
    except OSError as error:
        raise allowed.unreadable(error, f"folder {root} of the source") from error
    with opened as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(Path(entry.path), f"{above}{entry.name}/")
            elif entry.is_file():
                yield SourceFile(name=_printable(above + entry.name), path=Path(entry.path))


def _printable(name: str) -> str:
    """A name that can be stored: bytes that are no UTF-8 become question marks in diamonds."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder of one's own, removed afterwards; those of runs that were killed are removed first.

    Whoever uses a folder holds a lock on it, which ends with the process.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(parent):
        for left in parent.iterdir():
            _remove_unless_in_use(left)
        room = Path(tempfile.mkdtemp(dir=parent))
        using = os.open(room, os.O_RDONLY)
        fcntl.flock(using, fcntl.LOCK_EX)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(using)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_unless_in_use(room: Path) -> None:
    handle = os.open(room, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(room, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(handle)
