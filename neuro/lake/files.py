"""The files below one place, a folder or a bucket's prefix: named, searched and removed alike."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

from neuro.lake.lake import Lake
from neuro.storage import location, object_versions
from neuro.storage.object_versions import Version

_READERS = 8  # each holds two pieces
_TABLE = ".lance"

# What a file of this name may not hold.
Wanted = Callable[[str], Sequence[bytes]]


class Files(Protocol):
    """Names are absolute: paths, or addresses of objects. Versions that are kept are files, too."""

    uri: str

    def require_rights(self) -> None:
        """Before anything is removed. Raises DeniedError where that would be refused."""

    def tables(self) -> list[str]:
        """Names of the tables that lie here, sorted."""

    def forget(self) -> int:
        """Remove what the storage keeps of replaced, deleted and half written files."""

    def search(self, wanted: Wanted) -> list[str]:
        """Names of the files that hold one of the byte strings wanted of them, sorted."""

    def remove_copies(self, digests: Collection[str]) -> int:
        """Remove the files whose bytes have one of these SHA-256; returns how many."""


def below(place: str, endpoint: str | None = None) -> Files:
    """The files below a folder or an s3://bucket/prefix."""
    return Bucket(location.place(place, endpoint)) if "://" in place else Folder(Path(place))


def of(lake: Lake) -> Files:
    """The files of a lake."""
    return Folder(Path(lake.uri)) if lake.place is None else Bucket(lake.place)


def outermost(found: Iterable[Files]) -> list[Files]:
    """Each place that lies in none of the others, once."""
    by_uri = {one.uri: one for one in found}
    return [
        one
        for uri, one in sorted(by_uri.items())
        if not any(uri.startswith(f"{other}/") for other in by_uri)
    ]


def holds(pieces: Iterable[bytes], wanted: Sequence[bytes]) -> bool:
    """Whether a stream of bytes has one of the byte strings, also where its pieces meet."""
    overlap = max(map(len, wanted), default=1) - 1
    kept = b""
    for piece in pieces if wanted else ():
        view = kept + piece
        if any(needle in view for needle in wanted):
            return True
        kept = view[len(view) - min(overlap, len(view)) :]
    return False


class Folder:
    """Files on a disk, which keeps no versions."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.uri = str(self._root)

    def require_rights(self) -> None:
        """The first removal tells."""

    def tables(self) -> list[str]:
        """See Files."""
        return sorted(path.name.removesuffix(_TABLE) for path in self._root.glob(f"*{_TABLE}"))

    def forget(self) -> int:
        """Nothing is kept."""
        return 0

    def search(self, wanted: Wanted) -> list[str]:
        """See Files."""
        found = (path for path in self._files() if holds(_read(path), wanted(str(path))))
        return sorted(map(str, found))

    def remove_copies(self, digests: Collection[str]) -> int:
        """See Files."""
        meant = [path for path in self._files() if _digest(_read(path)) in digests]
        for path in meant:
            path.unlink()
        return len(meant)

    def _files(self) -> Iterator[Path]:
        for path in self._root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


class Bucket:
    """Objects below a prefix, with all their versions."""

    def __init__(self, where: location.Place) -> None:
        self._place, self.uri = where, where.uri

    def require_rights(self) -> None:
        """See Files."""
        object_versions.require_rights(self._place)

    def tables(self) -> list[str]:
        """See Files."""
        found = object_versions.folders(self._place)
        return [name.removesuffix(_TABLE) for name in found if name.endswith(_TABLE)]

    def forget(self) -> int:
        """See Files; an upload that was not ended is ended."""
        return object_versions.forget(self._place)

    def search(self, wanted: Wanted) -> list[str]:
        """See Files."""
        return sorted(v.uri for v in self._which(lambda v: holds(self._read(v), wanted(v.uri))))

    def remove_copies(self, digests: Collection[str]) -> int:
        """See Files; an object that is one goes with all its versions, else only those go."""
        meant = self._which(lambda version: _digest(self._read(version)) in digests)
        whole = {version.key for version in meant if version.is_current}
        for key in whole:
            object_versions.remove_key(self._place, key)
        older = [version for version in meant if version.key not in whole]
        return len(whole) + object_versions.remove(self._place, older)

    def _which(self, is_meant: Callable[[Version], bool]) -> list[Version]:
        found: list[Version] = []
        with ThreadPoolExecutor(_READERS) as pool:
            for page in object_versions.listed(self._place):
                held = [version for version in page if not version.is_mark]
                is_found = pool.map(is_meant, held)
                found += [version for version, yes in zip(held, is_found, strict=True) if yes]
        return found

    def _read(self, version: Version) -> Iterator[bytes]:
        return object_versions.pieces(self._place, version)


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from iter(partial(stream.read, object_versions.PIECE), b"")
    except FileNotFoundError:  # somebody else's file, gone meanwhile
        return


def _digest(pieces: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    return sha256.hexdigest()
