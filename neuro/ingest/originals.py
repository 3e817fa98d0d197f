"""Originals, where a site wants them: copied as they came to a place of their own, never the lake.

They carry whatever identifiers they came with. A copy is named by the digest of its bytes and by
nothing else, and is made once.
"""

import hashlib
import os
import secrets
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from neuro.errors import ConfigError, NeuroError, StaleError
from neuro.ingest.delivery import Item
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.storage import location, object_versions, objects

KIND = "landing"
_THREADS = 4  # each holds a whole file


@dataclass(frozen=True, kw_only=True, slots=True)
class Landing:
    """Where originals go: a folder or an s3://bucket/prefix, "" for nowhere.

    endpoint: of the S3 server, None for AWS.
    """

    where: str
    endpoint: str | None = None


def check(where: str, lake: Lake) -> None:
    """Raises ConfigError if the place is no folder or bucket, or lies in the lake or around it."""
    if "://" in where and not where.startswith("s3://"):
        raise ConfigError(f"landing {where!r} is neither a folder nor an s3://bucket/prefix")
    one, other = (f"{_absolute(place)}/" for place in (where, lake.uri))
    if one.startswith(other) or other.startswith(one):
        raise ConfigError(
            f"landing {where} and the lake {lake.uri} lie in one another; originals carry "
            "identifiers and never lie in a lake: name another place"
        )


def keep(
    lake: Lake, there: Landing, items: Sequence[Item], digests: Collection[str], now: datetime
) -> int:
    """Copy the original of every digest that is not there yet; returns how many that were.

    digests: of those items that enter or entered before. The place is written into the lake's
    journal, so that an erasure finds it. Raises StaleError if a file has changed since it was read.
    """
    check(there.where, lake)
    place = _absolute(there.where)
    store = _open(place, there.endpoint)
    journal.record(lake, KIND, place, {"where": place}, now)
    met: set[str] = set()

    def copy(item: Item) -> int:
        try:
            with item.path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            raw = item.path.read_bytes() if sha256 in digests else b""
        except OSError:  # it waits in quarantine, or is among the lost
            return 0
        if hashlib.sha256(raw).hexdigest() not in digests:
            return 0
        met.add(sha256)
        return store.create(_key(sha256), raw)

    with ThreadPoolExecutor(_THREADS) as pool:
        made = sum(pool.map(copy, items))
    if lost := set(digests) - met:
        raise StaleError(
            f"{len(lost)} files changed while they were read, and their originals were not copied; "
            "run the same command again"
        )
    return made


def remove(lake: Lake, there: Landing, digests: Collection[str]) -> int:
    """Remove originals from every place they were ever copied to, and from this one.

    Of a bucket all versions go. Returns how many originals there were.
    """
    known = {entry.body["where"] for entry in journal.entries(lake, KIND)}
    places_of = known | ({_absolute(there.where)} if there.where else set())
    stores = [_open(place, there.endpoint) for place in sorted(places_of)]
    return sum(store.remove(_key(sha256)) for store in stores for sha256 in digests)


def _open(place: str, endpoint: str | None) -> "_Bucket | _Folder":
    return _Bucket(place, endpoint) if "://" in place else _Folder(Path(place))


def _absolute(where: str) -> str:
    return where.rstrip("/") if "://" in where else str(Path(where).resolve())


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, key: str, raw: bytes) -> bool:
        try:
            return self._create(self._root / key, raw)
        except OSError as error:
            raise NeuroError(
                f"cannot copy an original to {self._root}: {error.strerror}; free some space or "
                "name another place with --landing, and run the same command again"
            ) from error

    @staticmethod
    def _create(target: Path, raw: bytes) -> bool:
        if target.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(part, target)  # where a rename would replace
        except FileExistsError:
            return False
        finally:
            part.unlink()
        return True

    def remove(self, key: str) -> bool:
        for part in (self._root / key).parent.glob(f".{Path(key).name}.*"):  # a killed run's
            part.unlink()
        try:
            (self._root / key).unlink()
        except FileNotFoundError:
            return False
        return True


class _Bucket:
    def __init__(self, uri: str, endpoint: str | None) -> None:
        self._place = location.place(uri, endpoint)
        self._objects = objects.Objects(self._place)

    def create(self, key: str, raw: bytes) -> bool:
        return self._objects.find(key) is None and self._objects.write_once(key, raw)

    def remove(self, key: str) -> bool:
        return object_versions.remove_key(self._place, key) > 0
