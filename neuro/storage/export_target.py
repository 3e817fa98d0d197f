"""Where an export goes: a folder that appears whole, or a prefix whose last object is the sign."""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from neuro.errors import ConfigError
from neuro.storage import objects
from neuro.storage.location import Place
from neuro.storage.objects import Objects

# Of a bucket, in the order in which they are written: without the manifest nothing is whole.
DESCRIPTION, MANIFEST = "croissant.json", "manifest.csv"

# What the description of an export with such a manifest would be.
Describe = Callable[[str], Mapping[str, Any]]


class Outlet(Protocol):
    """Takes an export's files, and shows them whole or not at all."""

    uri: str

    def __enter__(self) -> Self:
        """Begin; what a killed export left is taken up or removed."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End, whole or not."""

    def whole(self, names: Collection[str], describe: Describe) -> str | None:
        """The manifest's digest where this very export is here already, else None.

        names: of its files. Raises ConfigError where something else is here.
        """

    def write(self, name: str, raw: bytes) -> None:
        """Take one file."""

    def finish(self, description: bytes, manifest: bytes) -> None:
        """Take the last two, and show all."""


class Folder:
    """A folder that is new or empty; it is written beside itself and renamed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.uri = str(self._folder)
        self._scratch = self._folder.parent / f".{self._folder.name}.part"

    def __enter__(self) -> Self:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def whole(self, names: Collection[str], describe: Describe) -> str | None:
        """None; a folder that holds anything is refused."""
        if self._folder.exists() and (not self._folder.is_dir() or any(self._folder.iterdir())):
            raise ConfigError(f"{self._folder} is not empty; give an empty or a new folder")
        return None

    def write(self, name: str, raw: bytes) -> None:
        """Write one file."""
        path = self._scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)

    def finish(self, description: bytes, manifest: bytes) -> None:
        """Write the last two, and rename the folder."""
        self.write(DESCRIPTION, description)
        self.write(MANIFEST, manifest)
        self._scratch.rename(self._folder)


class Bucket:
    """A prefix of a bucket. Each object has its SHA-256 in its metadata; the manifest comes last.

    What an export that was cut short has written stays, and is not sent again.
    """

    def __init__(self, place: Place) -> None:
        self.uri = place.uri
        self._objects = Objects(place)
        self._held: set[str] = set()
        self._sent: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(objects.THREADS)

    def __enter__(self) -> Self:
        self._held = {entry.key for entry in self._objects.list()}
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def whole(self, names: Collection[str], describe: Describe) -> str | None:
        """The digest of the manifest that is here, if its description is that of this export."""
        if MANIFEST in self._held:
            digest = hashlib.sha256(self._objects.read(MANIFEST)).hexdigest()
            told = json.loads(self._objects.read(DESCRIPTION)) if DESCRIPTION in self._held else {}
            if told == describe(digest) and self._held >= set(names):
                return digest
            raise ConfigError(
                f"{self.uri} holds another export, or lacks objects of this one; "
                "give an empty prefix"
            )
        if strange := self._held - {*names, DESCRIPTION}:
            raise ConfigError(
                f"{self.uri} holds {len(strange)} objects that are no part of this export, "
                f"{min(strange)} first; give an empty prefix"
            )
        return None

    def write(self, name: str, raw: bytes) -> None:
        """Send an object, a few at a time, unless it is there."""
        while len(self._sent) >= 2 * objects.THREADS:
            self._sent.popleft().result()
        self._sent.append(self._pool.submit(self._send, name, raw))

    def finish(self, description: bytes, manifest: bytes) -> None:
        """Wait until everything has arrived, and then send the last two, one after the other."""
        while self._sent:
            self._sent.popleft().result()
        self._objects.write(DESCRIPTION, description)
        self._objects.write(MANIFEST, manifest)

    def _send(self, name: str, raw: bytes) -> None:
        is_there = name in self._held and (
            self._objects.digest(name) == hashlib.sha256(raw).hexdigest()
        )
        if not is_there:
            self._objects.write(name, raw)
