"""Files below one place, in a folder or in a bucket, through one interface."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from neuro.storage.location import DEADLINE_S, Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One listed file. key: relative to its store. size: bytes. e_tag: "" in a folder."""

    key: str
    size: int
    e_tag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of a file, or a marker that it was deleted.

    uri: its whole path or address; of an older version it says which. A folder keeps no older
    versions, so each of its files is one current version. size: bytes, of an object.
    """

    key: str
    uri: str
    size: int = 0
    version_id: str = ""
    is_current: bool = True
    is_delete_marker: bool = False


class Store(ABC):
    """The files below a folder or an s3://bucket/prefix; keys are relative POSIX paths.

    uri: the folder's absolute path, or the address. place: None for a folder.
    """

    uri: str
    place: Place | None = None

    @abstractmethod
    def find(self, key: str) -> Entry | None:
        """One file's size and entity tag, or None where there is none."""

    @abstractmethod
    def entries(self, under: str = "") -> Iterator[Entry]:
        """Every file below a folder, links too; none where there is no such folder."""

    @abstractmethod
    def folders(self, under: str = "") -> list[str]:
        """Names of the folders right below a folder, sorted."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """A whole file."""

    @abstractmethod
    def digest(self, key: str) -> str | None:
        """The SHA-256 of a file, of an object the one it was written with; None if unknown."""

    @abstractmethod
    def write(self, key: str, raw: bytes) -> None:
        """Create or replace a file."""

    @abstractmethod
    def write_once(self, key: str, raw: bytes) -> bool:
        """Create a file unless its key is taken; True if it is there by this very call.

        It appears whole. In a folder it can be read by its owner alone.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a file; harmless where there is none. Raises StorageError if it is refused."""

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove many files, in no order."""
        for key in keys:
            self.delete(key)

    @abstractmethod
    def delete_folder(self, folder: str) -> None:
        """Remove a folder with all that lies in it; harmless where there is none."""

    @abstractmethod
    def staged(self) -> "AbstractContextManager[Store]":
        """A store to write files to, which appear here when the context ends without error.

        In a folder they appear together; it must be new or empty, else ConfigError. A bucket cannot
        rename, so there they appear one by one: write last what says that all are there. What a
        killed process has written to a bucket stays.
        """

    @abstractmethod
    def versions(self) -> Iterator[list[Version]]:
        """Every version of every file, some at a time.

        Links are left out: what one leads to lies elsewhere.
        """

    @abstractmethod
    def version_pieces(self, version: Version) -> Iterator[bytes]:
        """The bytes of a version, a piece at a time; none if it has gone meanwhile."""

    @abstractmethod
    def remove_versions(self, versions: Iterable[Version]) -> int:
        """Remove versions for good; returns how many."""

    @abstractmethod
    def remove_key(self, key: str) -> bool:
        """Remove a file with all its versions and half-written copies; False if there was none."""

    @abstractmethod
    def remove_old_versions(self) -> int:
        """Remove what is kept of replaced, deleted and half-written files; returns how many."""

    @abstractmethod
    def require_removal_rights(self, keys: Iterable[str] = ()) -> None:
        """Before files are removed, such as these. Raises DeniedError where it would be refused."""


def open(uri: str, endpoint: str | None = None, deadline_s: float = DEADLINE_S) -> Store:
    """The files below a folder or an s3://bucket/prefix. endpoint: of the S3 server, None for AWS.

    Raises ConfigError for an address of another kind.
    """
    if "://" not in uri:
        from neuro.storage.folder_store import FolderStore

        return FolderStore(uri)
    from neuro.storage import bucket_store  # 0.2 s, and only buckets need it

    return bucket_store.open(uri, endpoint, deadline_s)
