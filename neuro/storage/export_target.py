"""Where an export goes: a folder that appears whole, or a prefix whose last object is the sign."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from neuro.errors import ConfigError
from neuro.storage.location import THREADS
from neuro.storage.store import Store

# In the order in which they are written: without the manifest nothing in a bucket is whole.
DESCRIPTION, MANIFEST = "croissant.json", "manifest.csv"

# The description of an export, from the digest of its manifest.
Describe = Callable[[str], Mapping[str, Any]]


class ExportTarget:
    """Takes an export's files, a few at a time.

    In a bucket each object has its SHA-256 in its metadata, and the manifest comes last. What an
    export that was cut short has sent there is not sent again.
    """

    def __init__(self, uri: str, staging: Store, pool: Executor) -> None:
        self._uri, self._staging, self._pool = uri, staging, pool
        self._present = {entry.key for entry in staging.entries()}
        self._pending: deque[Future[None]] = deque()

    def digest_if_complete(self, names: Collection[str], describe: Describe) -> str | None:
        """The manifest's digest where this very export is here already, else None.

        names: of its files. Raises ConfigError where something else is here.
        """
        if MANIFEST not in self._present:
            if strangers := self._present - {*names, DESCRIPTION}:
                raise ConfigError(
                    f"{self._uri} holds {len(strangers)} objects that are no part of this export, "
                    f"{min(strangers)} first; give an empty prefix"
                )
            return None
        digest = hashlib.sha256(self._staging.read(MANIFEST)).hexdigest()
        is_same = DESCRIPTION in self._present and (
            json.loads(self._staging.read(DESCRIPTION)) == describe(digest)
        )
        if is_same and self._present >= set(names):
            return digest
        raise ConfigError(
            f"{self._uri} holds another export, or lacks objects of this one; give an empty prefix"
        )

    def write(self, name: str, raw: bytes) -> None:
        """Take one file; a few are written at a time."""
        while len(self._pending) >= 2 * THREADS:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._write, name, raw))

    def finish(self, description: bytes, manifest: bytes) -> None:
        """Wait for all files, and write the last two one after the other."""
        while self._pending:
            self._pending.popleft().result()
        self._staging.write(DESCRIPTION, description)
        self._staging.write(MANIFEST, manifest)

    def _write(self, name: str, raw: bytes) -> None:
        is_present = name in self._present and (
            self._staging.digest(name) == hashlib.sha256(raw).hexdigest()
        )
        if not is_present:
            self._staging.write(name, raw)


@contextmanager
def opened(store: Store) -> Iterator[ExportTarget]:
    """A place for an export, which is shown whole or not at all.

    Raises ConfigError for a folder that is not empty.
    """
    pool = ThreadPoolExecutor(THREADS)
    with store.staged() as staging:
        try:
            yield ExportTarget(store.uri, staging, pool)
        finally:
            pool.shutdown(cancel_futures=True)
