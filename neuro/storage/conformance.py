"""Whether an S3 server can be trusted with a lake: tried test by test, not believed."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from secrets import token_hex

from neuro.errors import NeuroError, StorageError
from neuro.storage import bucket_setup
from neuro.storage.bucket_store import BucketStore
from neuro.storage.location import Place
from neuro.storage.store import Entry

FOLDER = "_probe"
WRITERS = 8
_LARGE = 12 << 20  # bytes; three parts of a multipart upload


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """What one test has shown. is_needed: without it the server is not trusted."""

    test: str
    needed_for: str
    is_needed: bool
    is_ok: bool
    detail: str


class _FailedTestError(Exception):
    """Why a test has failed."""


@cache
def require_atomic(where: Place) -> None:
    """Race conditional writes, once in a process for each place.

    Raises StorageError if a race had two winners or none.
    """
    with _scratch(where) as bucket:
        try:
            race(bucket, rounds=6)
        except _FailedTestError as error:
            raise StorageError(
                f"{where.full_address} is not safe for several writers: {error}. Two runs could "
                "both believe that they had published. `neuro check` shows every test; use another "
                "server, or NEURO_S3_ALONE=1 if nobody else ever writes to this lake"
            ) from error


def check(where: Place) -> list[CheckResult]:
    """Run every test below the place and remove what they wrote."""
    with _scratch(where) as bucket:
        return [_run(test, bucket) for test in _TESTS]


def race(bucket: BucketStore, rounds: int) -> str:
    """Let threads create one key at once: one must win, and its bytes must be those stored."""
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(rounds):
            key = f"race-{number}"
            create = partial(_create_at_once, bucket, key, threading.Barrier(WRITERS))
            is_winner = list(pool.map(create, range(WRITERS)))
            n_winners = sum(is_winner)
            if n_winners != 1:
                raise _FailedTestError(
                    f"{n_winners} of {WRITERS} writers of one new key were told they had won"
                )
            if bucket.read(key) != b"%d" % is_winner.index(True):
                raise _FailedTestError("another writer's bytes are stored than the winner's")
    return f"one winner in each of {rounds} races of {WRITERS}"


def _create_at_once(bucket: BucketStore, key: str, barrier: threading.Barrier, writer: int) -> bool:
    barrier.wait(bucket.place.deadline_s)
    return bucket.write_once(key, b"%d" % writer)


def _basics(bucket: BucketStore) -> str:
    bucket.write("basics", b"first")
    _require(bucket.read("basics") == b"first", "other bytes came back")
    bucket.delete("basics")
    _require(bucket.find("basics") is None, "a deleted object is still there")
    return ""


def _create(bucket: BucketStore) -> str:
    _require(bucket.write_once("once", b"first"), "a new key was refused")
    _require(not bucket.write_once("once", b"second"), "an existing key was written over")
    _require(bucket.read("once") == b"first", "an existing key was written over")
    return ""


def _read_after_write(bucket: BucketStore) -> str:
    for number in range(20):
        bucket.write("fresh", b"%d" % number)
        _require(bucket.read("fresh") == b"%d" % number, "an older version came back")
    return "20 overwrites"


def _list_after_write(bucket: BucketStore) -> str:
    for number in range(20):
        bucket.write(f"listed/{number:02d}", b"")
        n_listed = len(list(bucket.entries("listed")))
        _require(n_listed == number + 1, f"{n_listed} of {number + 1} objects were listed")
    return "20 objects"


def _replace(bucket: BucketStore) -> str:
    bucket.write("tagged", b"first")
    e_tag = _entry(bucket, "tagged").e_tag
    _require(bucket.replace("tagged", b"second", e_tag), "the right entity tag was refused")
    _require(not bucket.replace("tagged", b"third", e_tag), "a stale entity tag was accepted")
    return ""


def _ranges(bucket: BucketStore) -> str:
    bucket.write("range", bytes(range(100)))
    _require(bucket.read_range("range", 5, 10) == bytes(range(5, 10)), "other bytes came back")
    return ""


def _multipart(bucket: BucketStore) -> str:
    raw = hashlib.sha256(b"large").digest() * (_LARGE // 32)
    bucket.write("large", raw)
    _require(_entry(bucket, "large").size == _LARGE, "another size is reported")
    _require(bucket.read("large") == raw, "other bytes came back")
    return f"{_LARGE >> 20} MiB"


def _checksum(bucket: BucketStore) -> str:
    is_kept = bucket_setup.keeps_checksum(bucket.place, "checksum")
    _require(is_kept, "accepted and not stored; neuro compares its own SHA-256")
    return ""


@dataclass(frozen=True, slots=True)
class _Test:
    """run: returns what it saw, "" for nothing worth a word."""

    name: str
    needed_for: str
    run: Callable[[BucketStore], str]
    is_needed: bool = True


_TESTS = (
    _Test("put, get, delete", "everything", _basics),
    _Test("create only if new", "releases: a version is written once", _create),
    _Test("race of creates", "several writers at once", partial(race, rounds=20)),
    _Test("read after write", "audits of a branch", _read_after_write),
    _Test("list after write", "finding the newest version", _list_after_write),
    _Test("range reads", "reading columns", _ranges),
    _Test("multipart upload", "files over 5 MB", _multipart),
    _Test("replace if unchanged", "nothing here; some tools", _replace, is_needed=False),
    _Test("checksum stored", "a second guard beside neuro's own", _checksum, is_needed=False),
    _Test(
        "versions listed",
        "undoing a deletion",
        lambda bucket: bucket_setup.list_versions(bucket.place),
        is_needed=False,
    ),
)


def _run(test: _Test, bucket: BucketStore) -> CheckResult:
    started = time.monotonic()
    try:
        detail = test.run(bucket) or f"{time.monotonic() - started:.2f} s"
        is_ok = True
    except (_FailedTestError, NeuroError) as error:
        detail = str(error)
        is_ok = False
    return CheckResult(
        test=test.name,
        needed_for=test.needed_for,
        is_needed=test.is_needed,
        is_ok=is_ok,
        detail=detail,
    )


def _entry(bucket: BucketStore, key: str) -> Entry:
    entry = bucket.find(key)
    if entry is None:
        raise _FailedTestError(f"{key} was written and is not there")
    return entry


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise _FailedTestError(otherwise)


@contextmanager
def _scratch(where: Place) -> Iterator[BucketStore]:
    """A prefix of this probe alone, emptied afterwards."""
    prefix = "/".join(filter(None, [where.prefix, FOLDER, token_hex(6)]))
    bucket = BucketStore(replace(where, prefix=prefix))
    try:
        yield bucket
    finally:
        bucket.delete_folder("")
