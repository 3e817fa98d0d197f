"""Where images come from: a folder, an archive, one file or a bucket, as a list of local files."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuro import archives
from neuro.archives import Limits
from neuro.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One file. name: relative POSIX path in its source; data, never a path to open."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Every visible file of a source, sorted by name. where: the source as it was given."""

    where: str
    kind: Literal["folder", "archive", "file", "bucket"]
    files: tuple[Found, ...]


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
        with _scratch_folder(scratch) as room:
            _download(source, room, endpoint)
            yield _listing(source, "bucket", _files_below(room))
    elif path.is_file():
        if not (form := archives.form_of(path)):
            yield Listing(
                where=source, kind="file", files=(Found(name=_printable(path.name), path=path),)
            )
            return
        with _scratch_folder(scratch) as room:
            members = archives.unpack(path, form, room, limits or Limits())
            files = [Found(name=_printable(name), path=file) for name, file in members]
            yield _listing(source, "archive", files)
    else:
        yield folder(path)


def folder(path: Path) -> Listing:
    """The visible files below a folder. Raises ConfigError if there is no such folder."""
    if not path.is_dir():
        raise ConfigError(
            f"source {path} is no folder, archive or image; give what holds the images "
            f"(archives end in {', '.join(archives.ENDINGS)})"
        )
    return _listing(str(path), "folder", _files_below(path))


def _listing(
    where: str, kind: Literal["folder", "archive", "bucket"], files: Iterable[Found]
) -> Listing:
    visible = [found for found in files if _is_visible(found.name)]
    return Listing(where=where, kind=kind, files=tuple(sorted(visible, key=lambda f: f.name)))


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))


def _files_below(root: Path) -> Iterator[Found]:
    for path in root.rglob("*"):
        if path.is_file():
            yield Found(name=_printable(path.relative_to(root).as_posix()), path=path)


def _printable(name: str) -> str:
    """A name that can be stored: bytes that are no UTF-8 become question marks in diamonds."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _download(uri: str, room: Path, endpoint: str | None) -> None:
    if not uri.startswith("s3://"):
        raise ConfigError(f"source {uri} is no s3:// address; give s3://bucket/prefix or a folder")
    from neuro.store import objects

    objects.download(uri, room, endpoint)


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
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
