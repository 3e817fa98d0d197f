"""Versions of objects: what a bucket keeps of what was replaced and deleted, read and removed.

Through boto3, which lists them and takes every key as it is. Works as well where none are kept.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from secrets import token_hex
from typing import Any, TypeVar

from obstore import exceptions as refused

from neuro.errors import DeniedError, StorageError
from neuro.storage import location
from neuro.storage.location import Place
from neuro.storage.objects import THREADS

PIECE = 8 << 20  # bytes of one ranged read
_PAGE = 1000
_PASSES = 5
# What a listing says and is asked for the page after.
_NEXT = {
    "NextContinuationToken": "ContinuationToken",
    "NextKeyMarker": "KeyMarker",
    "NextVersionIdMarker": "VersionIdMarker",
    "NextUploadIdMarker": "UploadIdMarker",
}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of an object, or a mark that it was deleted. key: below the place. size: bytes.

    uri: its address; of an older version it says which.
    """

    key: str
    version_id: str
    size: int
    is_current: bool
    is_mark: bool
    uri: str


def require_rights(where: Place) -> None:
    """Do once, on an object of its own, all that forgetting needs. Raises DeniedError."""
    client = location.client(where)
    next(listed(where))
    next(_uploads(where))
    name = f"_probe/rights-{token_hex(6)}"
    put = partial(client.put_object, Bucket=where.bucket, Key=_full(where, name), Body=b"x")
    _ask(where, "write", name, put)
    remove(where, chain.from_iterable(listed(where, name)))


def listed(where: Place, under: str = "") -> Iterator[list[Version]]:
    """Every version and mark whose key below the place begins so, by pages; one at least."""
    call = partial(location.client(where).list_object_versions, MaxKeys=_PAGE)
    kinds = (("Versions", False), ("DeleteMarkers", True))
    for page in _pages(where, "list versions", call, under):
        yield [_version(where, e, is_mark=mark) for name, mark in kinds for e in page.get(name, ())]


def folders(where: Place) -> list[str]:
    """Names of what lies right below the place and holds something, sorted."""
    call = partial(location.client(where).list_objects_v2, MaxKeys=_PAGE, Delimiter="/")
    common = (e for page in _pages(where, "list", call) for e in page.get("CommonPrefixes", ()))
    return sorted({each["Prefix"].rstrip("/").rpartition("/")[2] for each in common})


def remove(where: Place, versions: Iterable[Version]) -> int:
    """Remove versions for good, many at a time; returns how many."""
    client = location.client(where)

    def one(version: Version) -> None:
        _ask(where, "delete", version.key, partial(client.delete_object, **_named(where, version)))

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(1 for _ in pool.map(one, versions))


def remove_key(where: Place, key: str) -> int:
    """Remove an object with all its versions and marks; returns how many those were."""
    return _clear(where, key, lambda version: version.key == key)


def forget(where: Place) -> int:
    """Remove every version but the current ones, every mark, and every upload that was not ended.

    Returns how many versions and marks. Versions go before marks: without its mark, a deleted
    object would be there again.
    """
    removed = _clear(where, "", lambda version: not version.is_current and not version.is_mark)
    removed += _clear(where, "", lambda version: version.is_mark)
    client = location.client(where)
    for named in chain.from_iterable(_uploads(where)):
        _ask(where, "end the upload of", named["Key"], partial(_abort, client, named))
    return removed


def pieces(where: Place, version: Version) -> Iterator[bytes]:
    """A version's bytes in ranged reads, each whole; none if it has gone meanwhile."""
    for start in range(0, version.size, PIECE):
        end = min(start + PIECE, version.size)
        try:
            yield _ask(where, "read", version.key, partial(_piece, where, version, start, end))
        except StorageError:
            left = chain.from_iterable(listed(where, version.key))
            if (version.key, version.version_id) in ((v.key, v.version_id) for v in left):
                raise
            return


def _clear(where: Place, under: str, is_meant: Callable[[Version], bool]) -> int:
    """Remove versions, and list again until a whole listing holds none."""
    removed = 0
    for _ in range(_PASSES):
        found = 0
        for page in listed(where, under):
            found += remove(where, filter(is_meant, page))
        if not found:
            return removed
        removed += found
    raise StorageError(f"{where.named} keeps filling while it is emptied; let nothing write to it")


def _piece(where: Place, version: Version, start: int, end: int) -> bytes:
    ends = time.monotonic() + where.attempt_s
    asked = {**_named(where, version), "Range": f"bytes={start}-{end - 1}"}
    found = location.client(where).get_object(**asked)
    raw = bytearray()
    for part in found["Body"].iter_chunks(1 << 18):
        raw += part
        if time.monotonic() > ends:  # the client's own limit is one for each gap
            raise refused.GenericError(f"{len(raw)} bytes within {where.attempt_s:g} s")
    if len(raw) != end - start:
        raise refused.GenericError(f"{len(raw)} of {end - start} bytes arrived")
    return bytes(raw)


def _abort(client: Any, named: dict[str, str]) -> None:
    try:
        client.abort_multipart_upload(**named)
    except client.exceptions.NoSuchUpload:
        return


def _uploads(where: Place) -> Iterator[list[dict[str, str]]]:
    """What names the uploads that were begun and not ended, by pages; one at least."""
    call = partial(location.client(where).list_multipart_uploads, MaxUploads=_PAGE)
    for page in _pages(where, "list uploads", call):
        found = page.get("Uploads", ())
        yield [
            {"Bucket": where.bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
            for each in found
        ]


def _pages(
    where: Place, what: str, call: Callable[..., dict[str, Any]], under: str = ""
) -> Iterator[dict[str, Any]]:
    after: dict[str, str] = {}
    while True:
        asked = partial(call, Bucket=where.bucket, Prefix=_full(where, under), **after)
        page = _ask(where, what, under, asked)
        yield page
        if not page.get("IsTruncated"):
            return
        after = {wanted: page[said] for said, wanted in _NEXT.items() if page.get(said)}


def _ask(where: Place, what: str, key: str, call: Callable[[], T]) -> T:
    try:
        return location.insist(
            where, f"{what} {key or 'all'} of {where.named}", lambda: location.asked(call)
        )
    except DeniedError as error:
        raise DeniedError(f"{error}. Erasing wants the role `admin` there") from error


def _named(where: Place, version: Version) -> dict[str, str]:
    key, name = _full(where, version.key), version.version_id
    return {"Bucket": where.bucket, "Key": key, "VersionId": name}


def _full(where: Place, key: str) -> str:
    return f"{where.prefix}/{key}" if where.prefix else key


def _version(where: Place, found: dict[str, Any], *, is_mark: bool) -> Version:
    version_id, is_current = found.get("VersionId") or "null", bool(found.get("IsLatest", True))
    suffix = "" if is_current else f"?versionId={version_id}"
    return Version(
        key=found["Key"][len(_full(where, "")) :],
        version_id=version_id,
        size=found.get("Size", 0),
        is_current=is_current,
        is_mark=is_mark,
        uri=f"s3://{where.bucket}/{found['Key']}{suffix}",
    )
