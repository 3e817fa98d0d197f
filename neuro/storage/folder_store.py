"""Files below a folder of this machine.

Through pathlib and not through obstore's LocalStore, which cannot keep what a folder has to keep:
it follows links to other folders, hides files named like ``name#1``, gives up a listing at one name
that is no UTF-8, makes every file readable for all and syncs none (docs/traps.md). An erasure could
remove a stranger's file, or overlook its own.
"""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import file_digest
from pathlib import Path

from neuro import limits
from neuro.errors import ConfigError, DeniedError
from neuro.storage.store import Entry, Store, Version

PIECE = 8 << 20  # bytes of one read
_PAGE = 1000  # versions


class FolderStore(Store):
    """A folder, which is made when something is written; it keeps no older versions."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).resolve()
        self.uri = str(self.folder)

    def find(self, key: str) -> Entry | None:
        path = self.folder / key
        return Entry(key=key, size=path.stat().st_size) if path.is_file() else None

    def entries(self, under: str = "") -> Iterator[Entry]:
        for file in _files_below(self.folder / under):
            try:
                size = file.stat(follow_symlinks=False).st_size
            except FileNotFoundError:  # it went meanwhile
                continue
            yield Entry(key=file.path[len(self.uri) + 1 :], size=size)

    def folders(self, under: str = "") -> list[str]:
        return sorted(path.name for path in (self.folder / under).glob("*") if path.is_dir())

    def read(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()

    def digest(self, key: str) -> str | None:
        with (self.folder / key).open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()

    def write(self, key: str, raw: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)

    def write_once(self, key: str, raw: bytes) -> bool:
        path = self.folder / key
        if path.exists():
            return False
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())  # before it appears
            os.link(part, path)  # a rename would replace
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def delete(self, key: str) -> None:
        (self.folder / key).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        shutil.rmtree(self.folder / folder, ignore_errors=True)

    @contextmanager
    def staged(self) -> Iterator["FolderStore"]:
        staging = FolderStore(self.folder.with_name(f".{self.folder.name}.part"))
        with limits.writing(self.folder):
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise ConfigError(f"{self.uri} is not empty; give an empty or a new folder")
            shutil.rmtree(staging.folder, ignore_errors=True)  # what a killed run has staged
            staging.folder.mkdir(parents=True)
        try:
            yield staging
            with limits.writing(self.folder):
                staging.folder.rename(self.folder)
        finally:
            shutil.rmtree(staging.folder, ignore_errors=True)

    def versions(self) -> Iterator[list[Version]]:
        page: list[Version] = []
        for file in _files_below(self.folder):
            if file.is_file(follow_symlinks=False):
                page.append(Version(key=file.path[len(self.uri) + 1 :], uri=file.path))
            if len(page) == _PAGE:
                yield page
                page = []
        yield page

    def version_pieces(self, version: Version) -> Iterator[bytes]:
        try:
            with (self.folder / version.key).open("rb") as stream:
                yield from iter(partial(stream.read, PIECE), b"")
        except FileNotFoundError:  # somebody else's file, gone meanwhile
            return

    def remove_versions(self, versions: Iterable[Version]) -> int:
        keys = [version.key for version in versions]
        self.delete_all(keys)
        return len(keys)

    def remove_key(self, key: str) -> bool:
        path = self.folder / key
        for part in path.parent.glob(f".{path.name}.*"):  # of a ``write_once`` that was killed
            part.unlink()
        is_there = path.exists()
        path.unlink(missing_ok=True)
        return is_there

    def remove_old_versions(self) -> int:
        return 0

    def require_removal_rights(self, keys: Iterable[str] = ()) -> None:
        """Of these keys; of others the first removal tells."""
        for key in keys:
            path = self.folder / key
            # Of a folder that may not be searched nobody knows what it holds.
            is_there = os.path.lexists(path) or not os.access(self.folder, os.X_OK)
            if is_there and not os.access(path.parent, os.W_OK | os.X_OK):
                raise DeniedError(
                    f"remove {path}: you may not write to its folder. Erasing wants that right"
                )


def _files_below(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    """Everything below a folder that is no folder itself; follows no link."""
    try:
        children = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for child in children:
        if child.is_dir(follow_symlinks=False):
            yield from _files_below(child.path)
        else:
            yield child
