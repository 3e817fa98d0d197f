"""Objects below a prefix of a bucket: every call ends by its deadline, every body is checked."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore import exceptions as s3_errors
from obstore.store import S3Store

from neuro.errors import ConfigError, DamagedError, StorageError
from neuro.storage import location
from neuro.storage.location import DEADLINE_S, THREADS, Place
from neuro.storage.object_versions import ObjectVersions
from neuro.storage.store import Entry

_REREADS = 3
_PIECE = 32 << 20  # bytes of one ranged read, so that a large object fits the deadline and memory

T = TypeVar("T")


class BucketStore(ObjectVersions):
    """The objects of one place; keys are relative to its prefix."""

    def __init__(self, where: Place) -> None:
        from obstore.auth.boto3 import Boto3CredentialProvider

        super().__init__(where)
        aws = location.session()
        if aws.get_credentials() is None:
            raise ConfigError(
                f"no credentials for {where.uri}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE"
            )
        endpoint: Any = {"endpoint": where.endpoint} if where.endpoint else {}
        self._store = S3Store(
            where.bucket,
            prefix=where.prefix or None,
            region=location.region(aws),
            virtual_hosted_style_request=where.endpoint is None,
            credential_provider=Boto3CredentialProvider(aws),
            client_options={"allow_http": True, "timeout": timedelta(seconds=where.attempt_s)},
            retry_config={"max_retries": 0},  # `_retry` does it; two layers would multiply
            **endpoint,
        )

    def find(self, key: str) -> Entry | None:
        def head() -> Entry | None:
            try:
                return _entry(obstore.head(self._store, key))
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

        return self._retry("find", key, head)

    def digest(self, key: str) -> str | None:
        def head() -> str | None:
            sha256 = obstore.get(self._store, key, options={"head": True}).attributes.get("sha256")
            return None if sha256 is None else str(sha256)

        return self._retry("find", key, head)

    def entries(self, under: str = "") -> Iterator[Entry]:
        last = ""
        while True:
            page = self._retry("list", under, partial(self._page, under, last))
            yield from page
            if not page:
                return
            last = page[-1].key

    def folders(self, under: str = "") -> list[str]:
        def list_folders() -> list[str]:
            prefixes = obstore.list_with_delimiter(self._store, under or None)["common_prefixes"]
            return sorted(prefix.rpartition("/")[2] for prefix in prefixes)

        return self._retry("list", under, list_folders)

    def read(self, key: str) -> bytes:
        """A whole object, compared with its size, and with the digest that was stored with it.

        Raises DamagedError if it differs each time it is read.
        """
        for _ in range(_REREADS):
            answer, raw = self._retry("read", key, lambda: self._get(key))
            sha256 = answer.attributes.get("sha256")
            is_whole = len(raw) == answer.meta["size"]
            if is_whole and sha256 in (None, hashlib.sha256(raw).hexdigest()):
                return raw
        raise DamagedError(f"{self._name(key)} reads back with other bytes than were written")

    def write(self, key: str, raw: bytes) -> None:
        """Create or replace an object, its SHA-256 beside it.

        The request is signed over the body's digest, so the server refuses what was altered on
        the way.
        """
        about = {"sha256": hashlib.sha256(raw).hexdigest()}
        self._retry("write", key, lambda: obstore.put(self._store, key, raw, attributes=about))

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
            except (s3_errors.AlreadyExistsError, s3_errors.PreconditionError):
                if tries == 1:
                    return False
                stored = obstore.get(self._store, key).attributes
                return stored.get("writer") == about["writer"]
            return True

        return self._retry("create", key, create)

    def replace(self, key: str, raw: bytes, e_tag: str) -> bool:
        """Replace an object only if it still has an entity tag; False if it has another."""
        try:
            self._retry(
                "replace", key, lambda: obstore.put(self._store, key, raw, mode={"e_tag": e_tag})
            )
        except s3_errors.PreconditionError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove an object; harmless where there is none.

        Through boto3: obstore sends a POST even for one, and for that Ceph wants the right to
        delete on the bucket as well, not only on a prefix (docs/traps.md).
        """
        remove = partial(self._client.delete_object, **self._address(key))
        self._retry("delete", key, lambda: location.call_boto3(remove))

    def delete_all(self, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(self.delete, keys):
                pass

    def delete_folder(self, folder: str) -> None:
        self.delete_all(entry.key for entry in self.entries(folder))

    @contextmanager
    def staged(self) -> "Iterator[BucketStore]":
        yield self

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes start up to end of an object."""

        def get() -> bytes:
            return bytes(obstore.get_range(self._store, key, start=start, end=end))

        return self._retry("read", key, get)

    def fetch(self, entries: Sequence[Entry], targets: Sequence[Path]) -> None:
        """Bring each listed object to its path, whole; one that has gone meanwhile is left out.

        Raises StorageError if one was replaced meanwhile.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(self._fetch, entries, targets):
                pass

    def _fetch(self, entry: Entry, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                for start in range(0, entry.size, _PIECE):
                    piece = partial(self._piece, entry, start)
                    file.write(self._retry("read", entry.key, piece))
        except StorageError:
            part.unlink()
            if self.find(entry.key) is not None:
                raise
            return
        part.replace(target)

    def _page(self, under: str, last: str) -> Sequence[Entry]:
        stream = obstore.list(self._store, prefix=under or None, offset=last or None)
        page = next(iter(stream), [])
        return [_entry(meta) for meta in page]

    def _get(self, key: str) -> tuple[Any, bytes]:
        answer = obstore.get(self._store, key)
        return answer, bytes(answer.bytes())

    def _piece(self, entry: Entry, start: int) -> bytes:
        end = min(start + _PIECE, entry.size)
        answer = obstore.get(self._store, entry.key, options={"range": (start, end)})
        if answer.meta["e_tag"] != entry.e_tag:
            raise StorageError(f"{self._name(entry.key)} was replaced while it was read; run again")
        raw = bytes(answer.bytes())
        if len(raw) != end - start:
            raise s3_errors.GenericError(f"{len(raw)} of {end - start} bytes arrived")
        return raw


def open(uri: str, endpoint: str | None = None, deadline_s: float = DEADLINE_S) -> BucketStore:
    """The objects below an ``s3://bucket/prefix``."""
    return BucketStore(location.parse(uri, endpoint, deadline_s))


def _entry(meta: Any) -> Entry:
    return Entry(key=meta["path"], size=meta["size"], e_tag=meta["e_tag"] or "")
