"""Objects below a prefix of a bucket: every call ends by its deadline, every body is checked."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import obstore
from obstore import exceptions as refused
from obstore.store import S3Store

from neuro.errors import ConfigError, DamagedError, StorageError
from neuro.storage import location
from neuro.storage.location import DEADLINE_S, Place

THREADS = 16
_REREADS = 3
_PIECE = 32 << 20  # bytes of one ranged read, so that a large object fits the deadline and memory

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One listed object. size: bytes."""

    key: str
    size: int
    e_tag: str


class Objects:
    """The objects of one place; keys are relative to its prefix."""

    def __init__(self, where: Place) -> None:
        from obstore.auth.boto3 import Boto3CredentialProvider

        self.place, self._client = where, location.client(where)
        known = location.session()
        if known.get_credentials() is None:
            raise ConfigError(
                f"no credentials for {where.uri}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE"
            )
        endpoint: Any = {"endpoint": where.endpoint} if where.endpoint else {}
        self._store = S3Store(
            where.bucket,
            prefix=where.prefix or None,
            region=location.region(known),
            virtual_hosted_style_request=where.endpoint is None,
            credential_provider=Boto3CredentialProvider(known),
            client_options={"allow_http": True, "timeout": timedelta(seconds=where.attempt_s)},
            retry_config={"max_retries": 0},  # `_insist` retries; two layers would multiply
            **endpoint,
        )

    def find(self, key: str) -> Entry | None:
        """One object's size and entity tag, or None where there is none."""

        def head() -> Entry | None:
            try:
                return _entry(obstore.head(self._store, key))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

        return self._insist("find", key, head)

    def digest(self, key: str) -> str | None:
        """The SHA-256 that an object was written with; None where it was written without."""

        def head() -> str | None:
            found = obstore.get(self._store, key, options={"head": True}).attributes.get("sha256")
            return None if found is None else str(found)

        return self._insist("find", key, head)

    def list(self, under: str = "") -> Iterator[Entry]:
        """Every object below a folder, in the order of keys."""
        last = ""
        while True:
            page = self._insist("list", under, partial(self._page, under, last))
            yield from page
            if not page:
                return
            last = page[-1].key

    def read(self, key: str, *, sha256: str | None = None, size: int | None = None) -> bytes:
        """A whole object, compared with its size, and its digest where one is given or was stored.

        Raises DamagedError if it differs each time it is read.
        """
        for _ in range(_REREADS):
            found, raw = self._insist("read", key, lambda: self._get(key))
            known = sha256 or found.attributes.get("sha256")
            if len(raw) != (found.meta["size"] if size is None else size):
                continue
            if known is None or hashlib.sha256(raw).hexdigest() == known:
                return raw
        raise DamagedError(f"{self._name(key)} reads back with other bytes than were written")

    def write(self, key: str, raw: bytes) -> None:
        """Create or replace an object, its SHA-256 beside it.

        The request is signed over the body's digest, so the server refuses what was altered on
        the way.
        """
        about = {"sha256": hashlib.sha256(raw).hexdigest()}
        self._insist("write", key, lambda: obstore.put(self._store, key, raw, attributes=about))

    def write_once(self, key: str, raw: bytes) -> bool:
        """Create an object unless its key is taken; True if it is there by this very call.

        A create whose answer was lost meets itself when it is tried again, so who seems to have
        lost then looks whose object it is.
        """
        about = {"sha256": hashlib.sha256(raw).hexdigest(), "writer": secrets.token_hex(8)}
        tries = 0

        def create() -> bool:
            nonlocal tries
            tries += 1
            try:
                obstore.put(self._store, key, raw, mode="create", attributes=about)
            except (refused.AlreadyExistsError, refused.PreconditionError):
                if tries == 1:
                    return False
                held = obstore.get(self._store, key).attributes
                return held.get("writer") == about["writer"]
            return True

        return self._insist("create", key, create)

    def replace(self, key: str, raw: bytes, e_tag: str) -> bool:
        """Replace an object only if it still has an entity tag; False if it has another."""
        try:
            self._insist(
                "replace", key, lambda: obstore.put(self._store, key, raw, mode={"e_tag": e_tag})
            )
        except refused.PreconditionError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove an object; harmless where there is none.

        Through boto3: obstore sends a POST even for one, and for that Ceph wants the right to
        delete on the bucket as well, not only on a prefix (docs/traps.md).
        """
        name = f"{self.place.prefix}/{key}".lstrip("/")
        remove = partial(self._client.delete_object, Bucket=self.place.bucket, Key=name)
        self._insist("delete", key, lambda: location.asked(remove))

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove objects, many at a time and in no order."""
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(self.delete, keys):
                pass

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes start up to end of an object."""

        def get() -> bytes:
            return bytes(obstore.get_range(self._store, key, start=start, end=end))

        return self._insist("read", key, get)

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """A listed object in ranged reads, each whole.

        Raises StorageError if the object was replaced meanwhile.
        """
        for start in range(0, entry.size, _PIECE):
            end = min(start + _PIECE, entry.size)
            yield self._insist("read", entry.key, partial(self._piece, entry, start, end))

    def _page(self, under: str, last: str) -> Sequence[Entry]:
        stream = obstore.list(self._store, prefix=under or None, offset=last or None)
        page = next(iter(stream), [])
        return [_entry(meta) for meta in page]

    def _get(self, key: str) -> tuple[Any, bytes]:
        found = obstore.get(self._store, key)
        return found, bytes(found.bytes())

    def _piece(self, entry: Entry, start: int, end: int) -> bytes:
        found = obstore.get(self._store, entry.key, options={"range": (start, end)})
        if found.meta["e_tag"] != entry.e_tag:
            raise StorageError(f"{self._name(entry.key)} was replaced while it was read; run again")
        raw = bytes(found.bytes())
        if len(raw) != end - start:
            raise refused.GenericError(f"{len(raw)} of {end - start} bytes arrived")
        return raw

    def _insist(self, what: str, key: str, call: Callable[[], T]) -> T:
        return location.insist(self.place, f"{what} {self._name(key)}", call)

    def _name(self, key: str) -> str:
        return f"{key or 'all'} of {self.place.named}"


def open(uri: str, endpoint: str | None = None, deadline_s: float = DEADLINE_S) -> Objects:
    """The objects below an ``s3://bucket/prefix``."""
    return Objects(location.place(uri, endpoint, deadline_s))


def download(uri: str, folder: Path, endpoint: str | None = None) -> None:
    """Mirror every object below a prefix into a folder, keys as relative paths.

    Raises ConfigError, before anything is written, for a key that would leave the folder.
    """
    source = open(uri, endpoint)
    # An object whose name ends in a slash is how some tools mark an empty folder.
    entries = [entry for entry in source.list() if not entry.key.endswith("/")]
    targets = [_below(folder, entry.key) for entry in entries]

    fetch(source, list(zip(entries, targets, strict=True)))


def fetch(source: Objects, wanted: Sequence[tuple[Entry, Path]]) -> None:
    """Bring each listed object to its path, whole; one that has gone meanwhile is left out.

    Raises StorageError if one was replaced meanwhile.
    """

    def bring(entry: Entry, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                file.writelines(source.pieces(entry))
        except StorageError:
            part.unlink()
            if source.find(entry.key) is not None:
                raise
            return
        part.replace(target)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(bring, *zip(*wanted, strict=True)):
            pass


def upload(folder: Path, uri: str, endpoint: str | None = None) -> None:
    """Copy every file of a folder below a prefix, each with its SHA-256 beside it."""
    target = open(uri, endpoint)
    files = sorted(path for path in folder.rglob("*") if path.is_file())

    def send(path: Path) -> None:
        target.write(path.relative_to(folder).as_posix(), path.read_bytes())

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(send, files):
            pass


def _entry(meta: Any) -> Entry:
    return Entry(key=meta["path"], size=meta["size"], e_tag=meta["e_tag"] or "")


def _below(folder: Path, key: str) -> Path:
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or "\0" in key or "\\" in key or not path.parts:
        raise ConfigError(f"object {key!r} has a name that leaves the folder; rename it")
    return folder / path
