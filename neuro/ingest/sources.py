"""Where images come from: a folder, an archive, one file or a bucket, as a list of local files."""

import fcntl
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neuro import limits as allowed
from neuro.errors import ConfigError
from neuro.ingest import archives, folder_walk
from neuro.ingest.archives import ArchiveError, Limits
from neuro.ingest.folder_walk import Skipped, Walk
from neuro.storage.location import DEADLINE_S

if TYPE_CHECKING:  # imported when the first bucket is read
    from neuro.storage.bucket_store import BucketStore
    from neuro.storage.store import Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One file. name: relative POSIX path in its source, in NFC; data, never a path to open.

    path: where it lies on this machine, without links; of an object, where it will once it is
    fetched. entry: the object as it was listed, None for a file.
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

    skipped: what else lies there: hidden files, links that are not followed, pipes and devices.
    bucket: what objects are fetched from. room: a folder where more may be put while it is open.
    """

    where: str
    kind: Literal["folder", "archive", "file", "bucket"]
    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...] = ()
    bucket: "BucketStore | None" = None
    room: Path | None = None


@contextmanager
def opened(
    source: str,
    scratch: Path,
    limits: Limits | None = None,
    endpoint: str | None = None,
    deadline_s: float = DEADLINE_S,
    follow: Sequence[str] = (),
) -> Iterator[Listing]:
    """The files of a source, for as long as the context lasts.

    scratch: where archives and buckets are unpacked, in a folder that is removed afterwards.
    endpoint: address of the S3 server, None for AWS. deadline_s: of each call to it. follow:
    folders outside the source that links may lead to. Raises ConfigError if the source does not
    exist, is an archive that is broken, over a limit or not confined to itself, or is a folder with
    a link to a folder elsewhere.
    """
    path = Path(source)
    if "://" in source:
        with scratch_folder(scratch) as room:
            listing = objects(source, room, endpoint, deadline_s)
            yield replace(listing, files=fetch(listing, listing.files))
    elif not _is_archive(path):
        if not path.is_file():
            yield whole_folder(path, follow)
            return
        image = SourceFile(name=_stored_name(path.name), path=Path(os.path.realpath(path)))
        yield Listing(where=source, kind="file", files=(image,))
    else:
        with scratch_folder(scratch) as room:
            yield unpacked(Path(os.path.realpath(path)), room, limits)


def _is_archive(path: Path) -> bool:
    try:
        return path.is_file() and archives.form_of(Path(os.path.realpath(path))) != ""
    except OSError as error:
        raise allowed.unreadable(error, f"source {path}") from error


def unpacked(path: Path, room: Path, limits: Limits | None = None) -> Listing:
    """The files of an archive, written into ``room``. Raises ArchiveError where it is refused."""
    if not (form := archives.form_of(path)):
        reason = "it does not begin like a zip or tar file"
        raise ArchiveError(f"archive {path} is damaged: {reason}", reason)
    members = archives.unpack(path, form, room, limits or Limits())
    return _listing(str(path), "archive", [SourceFile(name=n, path=file) for n, file in members])


def objects(
    uri: str, room: Path, endpoint: str | None = None, deadline_s: float = DEADLINE_S
) -> Listing:
    """The objects below a prefix, none of them fetched yet.

    Each has a path in ``room`` that is a number, so that no name can lead out of it.
    """
    if not uri.startswith("s3://"):
        raise ConfigError(f"source {uri} is no s3:// address; give s3://bucket/prefix or a folder")
    from neuro.storage import bucket_store

    bucket = bucket_store.open(uri, endpoint, deadline_s)
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


def whole_folder(path: Path, follow: Sequence[str] = ()) -> Listing:
    """The same as ``folder``; raises ConfigError, too, for a link that hides a folder elsewhere."""
    listing = folder(path, follow)
    lost = [link for link in listing.skipped if link.target]
    if lost:
        more = f" (and {len(lost) - 1} more such links)" if len(lost) > 1 else ""
        raise ConfigError(
            f"link {lost[0].name!r} in {path} leads out of it, to the folder {lost[0].target}"
            f"{more}, and what lies there would be missing; give --follow {lost[0].target}, or "
            "take the link out"
        )
    return listing


def folder(path: Path, follow: Sequence[str] = ()) -> Listing:
    """The visible files below a folder, and what is skipped there.

    A link is followed where it leads into the folder, or into one of ``follow``. Raises ConfigError
    if there is no such folder.
    """
    for place in follow:
        if not Path(place).is_dir():
            raise ConfigError(f"--follow {place} is no folder; give the folder that links lead to")
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise allowed.unreadable(error, f"source {path}") from error
    if is_file:
        raise ConfigError(
            f"{path} is no folder; give the folder that holds the images (unpack an archive first)"
        )
    if not is_folder:
        raise ConfigError(
            f"source {path} is no folder, archive or image; give what holds the images "
            f"(archives end in {', '.join(archives.ENDINGS)})"
        )
    walk = Walk(os.path.realpath(path), [os.path.realpath(place) for place in follow]).run()
    files = [SourceFile(name=name, path=file) for name, file in walk.files]
    return _listing(str(path), "folder", files, walk.skipped)


def _listing(
    where: str,
    kind: Literal["folder", "archive", "bucket"],
    files: Iterable[SourceFile],
    skipped: Iterable[Skipped] = (),
) -> Listing:
    left_out = [replace(one, name=_stored_name(one.name)) for one in skipped]
    by_name: dict[str, SourceFile] = {}
    for file in files:
        name = _stored_name(file.name)
        if any(map(folder_walk.is_hidden, name.split("/"))):
            left_out.append(Skipped(name=name, reason=folder_walk.HIDDEN))
        elif by_name.setdefault(name, stored := replace(file, name=name)) is not stored:
            raise ConfigError(
                f"two files in {where} are called {name!r}: their names differ only in how accents "
                "are written (as one sign or as two), or in bytes that are no UTF-8; rename one of "
                "them"
            )
    return Listing(
        where=where,
        kind=kind,
        files=tuple(by_name[name] for name in sorted(by_name)),
        skipped=tuple(sorted(left_out, key=lambda one: one.name)),
    )


def _stored_name(name: str) -> str:
    r"""A name that can be stored and compared: accents in one way (NFC).

    Bytes that are no UTF-8 are written as \\xfc, so that names that differ stay different.
    """
    if name.isascii():
        return name
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", readable)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder of one's own, removed afterwards; those of runs that were killed are removed first.

    Whoever uses a folder holds a lock on it, which ends with the process.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(parent):
        for left in parent.iterdir():
            _remove_unless_in_use(left)
        room = Path(os.path.realpath(tempfile.mkdtemp(dir=parent)))
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
