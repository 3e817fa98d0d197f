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
from neuro.storage.store import Version

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


def require_rights(where: Place) -> None:
    """Do once, on an object of its own, all that an erasure needs. Raises DeniedError."""
    client = location.client(where)
    next(listed(where))
    next(_unfinished_uploads(where))
    name = f"_probe/rights-{token_hex(6)}"
    put = partial(client.put_object, Bucket=where.bucket, Key=_whole_key(where, name), Body=b"x")
    _retry(where, "write", name, put)
    remove(where, chain.from_iterable(listed(where, name)))


def listed(where: Place, under: str = "") -> Iterator[list[Version]]:
    """Every version and delete marker whose key below the place begins so; one page at least."""
    call = partial(location.client(where).list_object_versions, MaxKeys=_PAGE)
    for page in _pages(where, "list versions", call, under):
        versions = [_version(where, facts) for facts in page.get("Versions", ())]
        markers = [_version(where, facts) for facts in page.get("DeleteMarkers", ())]
        yield versions + [replace(marker, is_delete_marker=True) for marker in markers]


def remove(where: Place, versions: Iterable[Version]) -> int:
    """Remove versions for good, many at a time; returns how many."""
    client = location.client(where)

    def remove_one(version: Version) -> None:
        call = partial(client.delete_object, **_request(where, version))
        _retry(where, "delete", version.key, call)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(1 for _ in pool.map(remove_one, versions))


def remove_key(where: Place, key: str) -> int:
    """Remove an object with all its versions and markers; returns how many those were."""
    return _clear(where, key, lambda version: version.key == key)


def remove_old(where: Place) -> int:
    """Remove all versions but the current ones, all delete markers, and all unfinished uploads.

    Returns how many versions and markers. Versions go before markers: without its marker, a deleted
    object would be there again.
    """
    removed = _clear(where, "", lambda v: not v.is_current and not v.is_delete_marker)
    removed += _clear(where, "", lambda v: v.is_delete_marker)
    client = location.client(where)
    for upload in chain.from_iterable(_unfinished_uploads(where)):
        _retry(where, "end the upload of", upload["Key"], partial(_abort, client, upload))
    return removed


def pieces(where: Place, version: Version) -> Iterator[bytes]:
    """A version's bytes in ranged reads, each whole; none if it has gone meanwhile."""
    for start in range(0, version.size, PIECE):
        end = min(start + PIECE, version.size)
        try:
            yield _retry(where, "read", version.key, partial(_piece, where, version, start, end))
        except StorageError:
            for other in chain.from_iterable(listed(where, version.key)):
                if (other.key, other.version_id) == (version.key, version.version_id):
                    raise
            return


def _clear(where: Place, under: str, is_wanted: Callable[[Version], bool]) -> int:
    """Remove versions, and list again until a whole listing holds none."""
    removed = 0
    for _ in range(_PASSES):
        removed_now = 0
        for page in listed(where, under):
            removed_now += remove(where, filter(is_wanted, page))
        if not removed_now:
            return removed
        removed += removed_now
    raise StorageError(
        f"{where.full_address} keeps filling while it is emptied; let nothing write to it"
    )


def _piece(where: Place, version: Version, start: int, end: int) -> bytes:
    ends = time.monotonic() + where.attempt_s
    request = {**_request(where, version), "Range": f"bytes={start}-{end - 1}"}
    answer = location.client(where).get_object(**request)
    raw = bytearray()
    for part in answer["Body"].iter_chunks(1 << 18):
        raw += part
        if time.monotonic() > ends:  # the client's own limit is one for each gap
            raise s3_errors.GenericError(f"{len(raw)} bytes within {where.attempt_s:g} s")
    if len(raw) != end - start:
        raise s3_errors.GenericError(f"{len(raw)} of {end - start} bytes arrived")
    return bytes(raw)


def _abort(client: Any, upload: dict[str, str]) -> None:
    try:
        client.abort_multipart_upload(**upload)
    except client.exceptions.NoSuchUpload:
        return


def _unfinished_uploads(where: Place) -> Iterator[list[dict[str, str]]]:
    """What names the uploads that were begun and not ended, by pages; one at least."""
    call = partial(location.client(where).list_multipart_uploads, MaxUploads=_PAGE)
    for page in _pages(where, "list uploads", call):
        yield [
            {"Bucket": where.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
            for upload in page.get("Uploads", ())
        ]


def _pages(
    where: Place, what: str, call: Callable[..., dict[str, Any]], under: str = ""
) -> Iterator[dict[str, Any]]:
    start: dict[str, str] = {}
    while True:
        ask = partial(call, Bucket=where.bucket, Prefix=_whole_key(where, under), **start)
        page = _retry(where, what, under, ask)
        yield page
        if not page.get("IsTruncated"):
            return
        start = {name: page[said] for said, name in _NEXT_PAGE.items() if page.get(said)}


def _retry(where: Place, what: str, key: str, call: Callable[[], T]) -> T:
    try:
        subject = f"{what} {key or 'all'} of {where.full_address}"
        return location.retry(where, subject, lambda: location.call_boto3(call))
    except DeniedError as error:
        raise DeniedError(f"{error}. Erasing wants the role `admin` there") from error


def _request(where: Place, version: Version) -> dict[str, str]:
    key = _whole_key(where, version.key)
    return {"Bucket": where.bucket, "Key": key, "VersionId": version.version_id}


def _whole_key(where: Place, key: str) -> str:
    return f"{where.prefix}/{key}" if where.prefix else key


def _version(where: Place, facts: dict[str, Any]) -> Version:
    version_id = facts.get("VersionId") or "null"
    is_current = bool(facts.get("IsLatest", True))
    suffix = "" if is_current else f"?versionId={version_id}"
    return Version(
        key=facts["Key"][len(_whole_key(where, "")) :],
        version_id=version_id,
        size=facts.get("Size", 0),
        is_current=is_current,
        uri=f"s3://{where.bucket}/{facts['Key']}{suffix}",
    )
