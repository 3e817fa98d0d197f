"""Unpack an archive that nobody vouches for: under numbers, within limits, plain files only."""

import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from neuro.errors import ConfigError, NeuroError
from neuro.storage import plain_file

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz")
# Archives that nobody here unpacks.
_OTHER_ENDINGS = (
    *(".7z", ".rar", ".bz2", ".tbz", ".tbz2", ".tb2", ".zst", ".tzst", ".lz4", ".lz", ".lzma"),
    *(".z", ".cab", ".arj", ".lzh", ".iso", ".dmg", ".cpio", ".xar", ".ace", ".zipx"),
    *(".7z.001", ".zip.001", ".r00", ".z01"),
)
_OTHER_MAGIC = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"LZIP": "lzip",
    b"MSCF": "CAB",
    b"xar!": "XAR",
    b"\x1f\x9d": "compress",
}
_MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz"}
_CHUNK_BYTES = 1 << 20
_SLACK_BYTES = 1 << 16  # what a tar reader reads ahead, headers and padding included
_BROKEN = (
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    RecursionError,
    RuntimeError,
    ValueError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What an archive may unpack to.

    ratio: unpacked bytes for each packed one; asked once ratio_from_bytes are unpacked, as small
    files may well shrink a thousandfold.
    """

    files: int = 1_000_000
    file_bytes: int = 2_000_000_000
    total_bytes: int = 200_000_000_000
    ratio: int = 200
    ratio_from_bytes: int = 100_000_000


class ArchiveError(ConfigError):
    """An archive that is not taken in. ``reason`` says why without the name of a member."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def is_named_so(name: str) -> bool:
    """Whether a file is called like an archive; ``form_of`` tells whether it is one."""
    return name.lower().endswith((*ENDINGS, *_OTHER_ENDINGS))


def form_of(path: Path) -> str:
    """Tell by the first bytes: zip, tar, gz or xz; empty for a file that is no archive.

    path: without links. Raises ArchiveError for an archive of another kind.
    """
    with plain_file.open_plain(path) as stream:
        head = stream.read(512)
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    if head[257:262] == b"ustar":
        return "tar"
    others = [kind for magic, kind in _OTHER_MAGIC.items() if head.startswith(magic)]
    if others or path.name.lower().endswith(_OTHER_ENDINGS):
        reason = f"it is of a kind ({(others or [path.suffix])[0]}) that is not unpacked here"
        raise ArchiveError(
            f"archive {path} is not taken in: {reason}. Unpack it, and give the folder, or pack it "
            f"again: archives that work end in {', '.join(ENDINGS)}",
            f"{reason}; those that work end in {', '.join(ENDINGS)}",
        )
    if is_named_so(path.name):
        reason = "it does not begin like a zip or tar file"
        raise ArchiveError(f"archive {path} is damaged: {reason}", reason)
    return ""


def unpack(archive: Path, form: str, room: Path, limits: Limits) -> Iterator[tuple[str, Path]]:
    """Write each plain file into ``room`` under a number; yields its name in the archive, too.

    Raises ConfigError if the archive is broken, goes over a limit, holds a name twice or one that
    points outside, or holds anything but files and folders. What was written stays in ``room``.
    """
    meter = _Meter(archive, limits)
    seen: set[str] = set()
    try:
        for member, stream in _zip(archive, meter) if form == "zip" else _tar(archive, form, meter):
            name = _confined(member, archive)
            if name in seen:
                message = f"archive {archive} holds {name!r} twice; rename one of them"
                raise ArchiveError(message, "a name stands in it twice")
            seen.add(name)
            path = room / f"{len(seen):08d}"
            _write(stream, path)
            yield name, path
    except NeuroError:  # a ConfigError is a ValueError too
        raise
    except _BROKEN as error:
        reason = f"damaged or of an unknown kind ({type(error).__name__}"
        raise ArchiveError(
            f"archive {archive} is {reason}: {error}); copy it again, or unpack it yourself and "
            "give the folder",
            f"it is {reason})",
        ) from error


def _write(stream: "_Readable", path: Path) -> None:
    with path.open("xb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            try:
                out.write(chunk)
            except OSError as error:
                raise NeuroError(
                    f"cannot unpack into {path.parent}: {error.strerror}; free some space, or set "
                    "NEURO_HOME to a larger disk"
                ) from error


def _zip(archive: Path, meter: "_Meter") -> Iterator[tuple[str, "_Readable"]]:
    with _opened(archive) as raw, zipfile.ZipFile(raw) as opened_zip:
        for member in opened_zip.infolist():
            meter.begin(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_plain_file(archive, member.filename)
            if member.flag_bits & 1:
                message = f"archive {archive} is encrypted; unpack it, and give the folder"
                raise ArchiveError(message, "it is encrypted")
            if not member.is_dir():
                with opened_zip.open(member) as stream:
                    yield member.filename, _Metered(stream, meter)


def _tar(archive: Path, form: str, meter: "_Meter") -> Iterator[tuple[str, "_Readable"]]:
    openers: dict[str, Any] = {"tar": nullcontext, "gz": gzip.open, "xz": lzma.open}
    with (
        _opened(archive) as packed,
        openers[form](packed) as raw,
        tarfile.open(
            fileobj=cast("IO[bytes]", _Metered(raw, meter)), mode="r|", tarinfo=_StrictHeader
        ) as opened_tar,
    ):
        while (member := opened_tar.next()) is not None:
            opened_tar.members.clear()  # type: ignore[attr-defined]  # or it keeps every header
            meter.begin(member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise _no_plain_file(archive, member.name)
            yield member.name, cast("_Readable", opened_tar.extractfile(member))


def _opened(archive: Path) -> BinaryIO:
    return io.BufferedReader(plain_file.open_plain(archive))


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class _StrictHeader(tarfile.TarInfo):
    """tarfile takes a broken header after the first for the end of the archive, without a word."""

    @classmethod
    def fromtarfile(cls, opened_tar: tarfile.TarFile) -> "_StrictHeader":
        try:
            return super().fromtarfile(opened_tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the two empty blocks at a proper end
                raise
            raise tarfile.ReadError(f"broken header: {error}") from error


class _Meter:
    """Counts what an archive unpacks to; raises ConfigError at the first limit."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self._packed = max(1, archive.stat().st_size)
        self._files = self._total = self._member_bytes = 0
        self._member = "its first header"

    def begin(self, member: str) -> None:
        self._member, self._member_bytes = member, 0
        self._files += 1
        self._refuse(self._files > self._limits.files, f"{self._limits.files:,} files")

    def add(self, n: int) -> None:
        limits = self._limits
        self._total += n
        self._member_bytes += n
        is_large = self._member_bytes > limits.file_bytes + _SLACK_BYTES
        self._refuse(is_large, f"{limits.file_bytes:,} bytes a file")
        self._refuse(self._total > limits.total_bytes, f"{limits.total_bytes:,} bytes in all")
        is_bomb = self._total > max(limits.ratio * self._packed, limits.ratio_from_bytes)
        self._refuse(is_bomb, f"{limits.ratio} times its packed size")

    def _refuse(self, is_over: bool, limit: str) -> None:
        if is_over:
            raise ArchiveError(
                f"archive {self._archive} unpacks to more than {limit}, at {self._member!r}; if "
                "you trust it, unpack it yourself and give the folder",
                f"it unpacks to more than {limit}",
            )


class _Metered:
    """A stream whose bytes are counted as they are read."""

    def __init__(self, stream: _Readable, meter: _Meter) -> None:
        self._stream, self._meter = stream, meter

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self._meter.add(len(chunk))
        return chunk


def _no_plain_file(archive: Path, member: str) -> ArchiveError:
    return ArchiveError(
        f"archive {archive}: {member!r} is a link, a device or sparse, and only plain files are "
        "unpacked; take it out, or unpack it yourself and give the folder",
        "a link, a device or a sparse file is in it",
    )


def _confined(member: str, archive: Path) -> str:
    """The member's name with / between its parts. Raises ConfigError if it points elsewhere."""
    parts = member.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or re.match("[A-Za-z]:", member):
        raise ArchiveError(
            f"archive {archive}: {member!r} points outside the archive; nothing was taken from it. "
            "Pack it again with plain names",
            "a name in it points outside",
        )
    return "/".join(part for part in parts if part not in ("", "."))
