"""Objects below a prefix of a bucket: every call ends by its deadline, every body is checked."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore import exceptions as s3_errors
from obstore.store import S3Store

from neuro.errors import ConfigError, DamagedError, DeniedError, StorageError
from neuro.storage import location
from neuro.storage.location import DEADLINE_S, THREADS, Place
from neuro.storage.store import Entry, Store, Version

PIECE = 8 << 20  # bytes of a version that are read at once
_FETCHED = 32 << 20  # and of an object: a large one has to fit the deadline and memory
_REREADS = 3
_PAGE = 1000
_PASSES = 5
# What a page of a listing says -> the parameter that asks for the page after it.
_NEXT_PAGE = {
    "NextKeyMarker": "KeyMarker",
    "NextVersionIdMarker": "VersionIdMarker",
    "NextUploadIdMarker": "UploadIdMarker",
}

T = TypeVar("T")


class BucketStore(Store):
    """The objects of one place; keys are relative to its prefix.

    Versions go through boto3, which lists and removes them, and takes every key as it is; the rest
    goes through obstore. It works as well where a bucket keeps no versions.
    """

    place: Place

    def __init__(self, where: Place) -> None:
        from obstore.auth.boto3 import Boto3CredentialProvider

        self.place, self.uri = where, where.uri
        aws = location.session()
        if aws.get_credentials() is None:
            raise ConfigError(
                f"no credentials for {where.uri}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE"
            )
        self._client = location.client(where)
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

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """A listed object in ranged reads, each whole.

        Raises StorageError if the object was replaced meanwhile.
        """
        for start in range(0, entry.size, _FETCHED):
            yield self._retry("read", entry.key, partial(self._piece, entry, start))

    def fetch(self, entries: Sequence[Entry], targets: Sequence[Path]) -> None:
        """Bring each listed object to its path, whole; one that has gone meanwhile is left out.

        Raises StorageError if one was replaced meanwhile.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(self._fetch, entries, targets):
                pass

    def require_removal_rights(self, keys: Iterable[str] = ()) -> None:
        """Do once, on an object of its own, all that an erasure needs. Raises DeniedError."""
        next(self.versions())
        next(self._unfinished_uploads())
        key = f"_probe/rights-{secrets.token_hex(6)}"
        put = partial(self._client.put_object, **self._address(key), Body=b"x")
        self._retry_as_admin("write", key, put)
        self.remove_versions(chain.from_iterable(self.versions(key)))

    def versions(self, under: str = "") -> Iterator[list[Version]]:
        """Every version and delete marker whose key begins so, by pages; one at least."""
        call = partial(self._client.list_object_versions, MaxKeys=_PAGE)
        for page in self._pages("list versions", call, under):
            versions = [self._version(facts) for facts in page.get("Versions", ())]
            markers = [self._version(facts) for facts in page.get("DeleteMarkers", ())]
            yield versions + [replace(marker, is_delete_marker=True) for marker in markers]

    def remove_versions(self, versions: Iterable[Version]) -> int:
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(1 for _ in pool.map(self._remove_version, versions))

    def remove_key(self, key: str) -> bool:
        return self._remove_matching(lambda version: version.key == key, key) > 0

    def remove_old_versions(self) -> int:
        """Remove all versions but the current ones, all delete markers, and all unfinished uploads.

        Returns how many versions and markers. Versions go before markers: without its marker, a
        deleted object would be there again.
        """
        removed = self._remove_matching(lambda v: not v.is_current and not v.is_delete_marker)
        removed += self._remove_matching(lambda v: v.is_delete_marker)
        for upload in chain.from_iterable(self._unfinished_uploads()):
            self._retry_as_admin("end the upload of", upload["Key"], partial(self._abort, upload))
        return removed

    def version_pieces(self, version: Version) -> Iterator[bytes]:
        for start in range(0, version.size, PIECE):
            end = min(start + PIECE, version.size)
            read = partial(self._version_piece, version, start, end)
            try:
                yield self._retry_as_admin("read", version.key, read)
            except StorageError:
                for other in chain.from_iterable(self.versions(version.key)):
                    if (other.key, other.version_id) == (version.key, version.version_id):
                        raise
                return

    def _fetch(self, entry: Entry, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                file.writelines(self.pieces(entry))
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
        end = min(start + _FETCHED, entry.size)
        answer = obstore.get(self._store, entry.key, options={"range": (start, end)})
        if answer.meta["e_tag"] != entry.e_tag:
            raise StorageError(f"{self._name(entry.key)} was replaced while it was read; run again")
        raw = bytes(answer.bytes())
        if len(raw) != end - start:
            raise s3_errors.GenericError(f"{len(raw)} of {end - start} bytes arrived")
        return raw

    def _remove_matching(self, is_wanted: Callable[[Version], bool], under: str = "") -> int:
        """Remove versions, and list again until a whole listing holds none."""
        removed = 0
        for _ in range(_PASSES):
            removed_now = 0
            for page in self.versions(under):
                removed_now += self.remove_versions(filter(is_wanted, page))
            if not removed_now:
                return removed
            removed += removed_now
        raise StorageError(
            f"{self.place.full_address} keeps filling while it is emptied; let nothing write to it"
        )

    def _remove_version(self, version: Version) -> None:
        address = self._address(version.key, version.version_id)
        remove = partial(self._client.delete_object, **address)
        self._retry_as_admin("delete", version.key, remove)

    def _version_piece(self, version: Version, start: int, end: int) -> bytes:
        ends = time.monotonic() + self.place.attempt_s
        address = self._address(version.key, version.version_id)
        answer = self._client.get_object(**address, Range=f"bytes={start}-{end - 1}")
        raw = bytearray()
        for part in answer["Body"].iter_chunks(1 << 18):
            raw += part
            if time.monotonic() > ends:  # the client's own limit is one for each gap
                late = f"{len(raw)} bytes within {self.place.attempt_s:g} s"
                raise s3_errors.GenericError(late)
        if len(raw) != end - start:
            raise s3_errors.GenericError(f"{len(raw)} of {end - start} bytes arrived")
        return bytes(raw)

    def _unfinished_uploads(self) -> Iterator[list[dict[str, str]]]:
        """What names the uploads that were begun and not ended, by pages; one at least."""
        call = partial(self._client.list_multipart_uploads, MaxUploads=_PAGE)
        for page in self._pages("list uploads", call):
            yield [
                {"Bucket": self.place.bucket, "Key": facts["Key"], "UploadId": facts["UploadId"]}
                for facts in page.get("Uploads", ())
            ]

    def _abort(self, upload: dict[str, str]) -> None:
        try:
            self._client.abort_multipart_upload(**upload)
        except self._client.exceptions.NoSuchUpload:
            return

    def _pages(
        self, what: str, call: Callable[..., dict[str, Any]], under: str = ""
    ) -> Iterator[dict[str, Any]]:
        start: dict[str, str] = {}
        while True:
            ask = partial(call, Bucket=self.place.bucket, Prefix=self._whole_key(under), **start)
            page = self._retry_as_admin(what, under, ask)
            yield page
            if not page.get("IsTruncated"):
                return
            start = {name: page[said] for said, name in _NEXT_PAGE.items() if page.get(said)}

    def _retry_as_admin(self, what: str, key: str, call: Callable[[], T]) -> T:
        try:
            return self._retry(what, key, lambda: location.call_boto3(call))
        except DeniedError as error:
            raise DeniedError(f"{error}. Erasing wants the role `admin` there") from error

    def _retry(self, what: str, key: str, call: Callable[[], T]) -> T:
        return location.retry(self.place, f"{what} {self._name(key)}", call)

    def _name(self, key: str) -> str:
        return f"{key or 'all'} of {self.place.full_address}"

    def _address(self, key: str, version_id: str = "") -> dict[str, str]:
        version = {"VersionId": version_id} if version_id else {}
        return {"Bucket": self.place.bucket, "Key": self._whole_key(key), **version}

    def _whole_key(self, key: str) -> str:
        return f"{self.place.prefix}/{key}" if self.place.prefix else key

    def _version(self, facts: dict[str, Any]) -> Version:
        version_id = facts.get("VersionId") or "null"
        is_current = bool(facts.get("IsLatest", True))
        suffix = "" if is_current else f"?versionId={version_id}"
        return Version(
            key=facts["Key"][len(self._whole_key("")) :],
            version_id=version_id,
            size=facts.get("Size", 0),
            is_current=is_current,
            uri=f"s3://{self.place.bucket}/{facts['Key']}{suffix}",
        )


def open(uri: str, endpoint: str | None = None, deadline_s: float = DEADLINE_S) -> BucketStore:
    """The objects below an ``s3://bucket/prefix``."""
    return BucketStore(location.parse(uri, endpoint, deadline_s))


def _entry(meta: Any) -> Entry:
    return Entry(key=meta["path"], size=meta["size"], e_tag=meta["e_tag"] or "")
