"""Originals, where a site wants them: copied as they came to a place of their own, never the lake.

They carry whatever identifiers they came with. A copy is named by the digest of its bytes and by
nothing else, and is made once.
"""

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from neuro.errors import ConfigError, NeuroError, StaleError
from neuro.ingest.delivery import Item
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.storage import plain_file
from neuro.storage import store as stores
from neuro.storage.location import DEADLINE_S
from neuro.storage.store import Store

KIND = "landing"
_THREADS = 4  # each holds a whole file


@dataclass(frozen=True, kw_only=True, slots=True)
class LandingZone:
    """Where originals go: a folder or an s3://bucket/prefix, "" for nowhere.

    endpoint: of the S3 server, None for AWS. deadline_s: of each call to it.
    """

    where: str
    endpoint: str | None = None
    deadline_s: float = DEADLINE_S


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
    lake: Lake, zone: LandingZone, items: Sequence[Item], digests: Collection[str], now: datetime
) -> int:
    """Copy the original of every digest that is not there yet; returns how many that were.

    digests: of those items that enter or entered before. The zone is written into the lake's
    journal, so that an erasure finds it. Raises StaleError if a file has changed since it was read.
    """
    check(zone.where, lake)
    where = _absolute(zone.where)
    store = stores.open(where, zone.endpoint, zone.deadline_s)
    journal.record(lake, KIND, where, {"where": where}, now)
    unchanged: set[str] = set()

    def copy(item: Item) -> bool:
        original = _read_if_among(item, digests)
        if original is None:
            return False
        sha256, raw = original
        unchanged.add(sha256)
        return _write_once(store, _key(sha256), raw)

    with ThreadPoolExecutor(_THREADS) as pool:
        n_copied = sum(pool.map(copy, items))
    n_changed = len(set(digests) - unchanged)
    if n_changed:
        raise StaleError(
            f"{n_changed} files changed while they were read, and their originals were not copied; "
            "run the same command again"
        )
    return n_copied


def require_removal_rights(lake: Lake, zone: LandingZone, digests: Collection[str]) -> None:
    """Before ``remove``. Raises DeniedError where a place would refuse it."""
    for store in _places(lake, zone):
        store.require_removal_rights([_key(sha256) for sha256 in digests])


def remove(lake: Lake, zone: LandingZone, digests: Collection[str]) -> int:
    """Remove originals from every zone they were ever copied to, and from this one.

    Of a bucket all versions go. Returns how many originals there were.
    """
    return sum(
        store.remove_key(_key(sha256)) for store in _places(lake, zone) for sha256 in digests
    )


def _places(lake: Lake, zone: LandingZone) -> list[Store]:
    """Every place that originals were ever copied to, and this one."""
    places = {entry.body["where"] for entry in journal.entries(lake, KIND)}
    if zone.where:
        places.add(_absolute(zone.where))
    return [stores.open(place, zone.endpoint, zone.deadline_s) for place in sorted(places)]


def _read_if_among(item: Item, digests: Collection[str]) -> tuple[str, bytes] | None:
    """Digest and bytes of an item; None where its file is not meant, has changed or is unreadable.

    Hashed as a stream first: a file that is not meant may be of any size.
    """
    try:
        with plain_file.open_plain(item.path) as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 not in digests:
            return None
        raw = plain_file.read_bytes(item.path)
    except OSError:  # it waits in quarantine, or the digest is missed afterwards
        return None
    return (sha256, raw) if hashlib.sha256(raw).hexdigest() == sha256 else None


def _write_once(store: Store, key: str, raw: bytes) -> bool:
    try:
        return store.find(key) is None and store.write_once(key, raw)
    except OSError as error:
        raise NeuroError(
            f"cannot copy an original to {store.uri}: {error.strerror}; free some space or "
            "name another place with --landing, and run the same command again"
        ) from error


def _absolute(where: str) -> str:
    return where.rstrip("/") if "://" in where else str(Path(where).resolve())


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"
