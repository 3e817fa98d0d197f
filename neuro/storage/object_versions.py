"""Versions of objects: what a bucket keeps of what was replaced and deleted, read and removed.

Through boto3, which lists them and takes every key as it is. Works as well where none are kept.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from secrets import token_hex
from typing import Any, TypeVar

from obstore import exceptions as s3_errors

from neuro.errors import DeniedError, StorageError
from neuro.storage import location
from neuro.storage.location import THREADS, Place
from neuro.storage.store import Store, Version

PIECE = 8 << 20  # bytes of one ranged read
_PAGE = 1000
_PASSES = 5
# What a page of a listing says -> the parameter that asks for the page after it.
_NEXT_PAGE = {
    "NextKeyMarker": "KeyMarker",
    "NextVersionIdMarker": "VersionIdMarker",
    "NextUploadIdMarker": "UploadIdMarker",
}

T = TypeVar("T")


class ObjectVersions(Store):
    """The part of a bucket's store that knows of versions."""

    place: Place

    def __init__(self, where: Place) -> None:
        self.place, self.uri = where, where.uri
        self._client = location.client(where)

    def require_removal_rights(self) -> None:
        """Do once, on an object of its own, all that an erasure needs. Raises DeniedError."""
        next(self.versions())
        next(self._unfinished_uploads())
        key = f"_probe/rights-{token_hex(6)}"
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
