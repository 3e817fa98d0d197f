"""Whether an S3 server can be trusted with a lake: asked test by test, not believed."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
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
class Answer:
    """What one test found. is_needed: without it the server is not trusted."""

    test: str
    needed_for: str
    is_needed: bool
    is_ok: bool
    detail: str


class _FailedTestError(Exception):
    """Why the answer to a test is no."""


@cache
def require_atomic(where: Place) -> None:
    """Race conditional writes, once in a process for each place.

    Raises StorageError if a race had two winners or none.
    """
    with _folder(where) as objects:
        try:
            race(objects, rounds=6)
        except _FailedTestError as error:
            raise StorageError(
                f"{where.full_address} is not safe for several writers: {error}. Two runs could "
                "both believe that they had published. `neuro check` shows every test; use another "
                "server, or NEURO_S3_ALONE=1 if nobody else ever writes to this lake"
            ) from error


def check(where: Place) -> list[Answer]:
    """Run every test below the place and remove what they wrote."""
    with _folder(where) as objects:
        return [
            _ask(test, needed_for, is_needed, run, objects)
            for test, needed_for, is_needed, run in TESTS
        ]


def race(objects: BucketStore, rounds: int) -> str:
    """Let threads create one key at once: one must win, and its bytes must be those stored."""
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(rounds):
            gate = threading.Barrier(WRITERS)
            key = f"race-{number}"

            def create(writer: int, gate: threading.Barrier = gate, key: str = key) -> bool:
                gate.wait(objects.place.deadline_s)
                return objects.write_once(key, b"%d" % writer)

            won = [n for n, has_won in enumerate(pool.map(create, range(WRITERS))) if has_won]
            if len(won) != 1:
                raise _FailedTestError(
                    f"{len(won)} of {WRITERS} writers of one new key were told they had won"
                )
            if objects.read(key) != b"%d" % won[0]:
                raise _FailedTestError("another writer's bytes are stored than the winner's")
    return f"one winner in each of {rounds} races of {WRITERS}"


def _basics(objects: BucketStore) -> str:
    objects.write("basics", b"first")
    _expect(objects.read("basics") == b"first", "other bytes came back")
    objects.delete("basics")
    _expect(objects.find("basics") is None, "a deleted object is still there")
    return ""


def _create(objects: BucketStore) -> str:
    _expect(objects.write_once("once", b"first"), "a new key was refused")
    _expect(not objects.write_once("once", b"second"), "an existing key was written over")
    _expect(objects.read("once") == b"first", "an existing key was written over")
    return ""


def _race(objects: BucketStore) -> str:
    return race(objects, rounds=20)


def _read_after_write(objects: BucketStore) -> str:
    for number in range(20):
        objects.write("fresh", b"%d" % number)
        _expect(objects.read("fresh") == b"%d" % number, "an older version came back")
    return "20 overwrites"


def _list_after_write(objects: BucketStore) -> str:
    for number in range(20):
        objects.write(f"listed/{number:02d}", b"")
        found = len(list(objects.entries("listed")))
        _expect(found == number + 1, f"{found} of {number + 1} objects were listed")
    return "20 objects"


def _replace(objects: BucketStore) -> str:
    objects.write("tagged", b"first")
    old = _found(objects, "tagged").e_tag
    _expect(objects.replace("tagged", b"second", old), "the right entity tag was refused")
    _expect(not objects.replace("tagged", b"third", old), "a stale entity tag was accepted")
    return ""


def _ranges(objects: BucketStore) -> str:
    objects.write("range", bytes(range(100)))
    found = objects.read_range("range", 5, 10)
    _expect(found == bytes(range(5, 10)), "other bytes came back")
    return ""


def _multipart(objects: BucketStore) -> str:
    raw = hashlib.sha256(b"large").digest() * (_LARGE // 32)
    objects.write("large", raw)
    _expect(_found(objects, "large").size == _LARGE, "another size is reported")
    _expect(objects.read("large") == raw, "other bytes came back")
    return f"{_LARGE >> 20} MiB"


def _checksum(objects: BucketStore) -> str:
    kept = bucket_setup.keeps_checksum(objects.place, "checksum")
    _expect(kept, "accepted and not stored; neuro compares its own SHA-256")
    return ""


def _versions(objects: BucketStore) -> str:
    return bucket_setup.list_versions(objects.place)


def _found(objects: BucketStore, key: str) -> Entry:
    entry = objects.find(key)
    if entry is None:
        raise _FailedTestError(f"{key} was written and is not there")
    return entry


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise _FailedTestError(otherwise)


def _ask(
    test: str,
    needed_for: str,
    is_needed: bool,
    run: Callable[[BucketStore], str],
    objects: BucketStore,
) -> Answer:
    started = time.monotonic()
    try:
        detail, is_ok = run(objects), True
    except (_FailedTestError, NeuroError) as error:
        detail, is_ok = str(error), False
    detail = detail or f"{time.monotonic() - started:.2f} s"
    return Answer(test=test, needed_for=needed_for, is_needed=is_needed, is_ok=is_ok, detail=detail)


@contextmanager
def _folder(where: Place) -> Iterator[BucketStore]:
    """A folder of this probe alone, emptied afterwards."""
    prefix = "/".join(filter(None, [where.prefix, FOLDER, token_hex(6)]))
    objects = BucketStore(replace(where, prefix=prefix))
    try:
        yield objects
    finally:
        objects.delete_all(entry.key for entry in objects.entries())


TESTS: tuple[tuple[str, str, bool, Callable[[BucketStore], str]], ...] = (
    ("put, get, delete", "everything", True, _basics),
    ("create only if new", "releases: a version is written once", True, _create),
    ("race of creates", "several writers at once", True, _race),
    ("read after write", "audits of a branch", True, _read_after_write),
    ("list after write", "finding the newest version", True, _list_after_write),
    ("range reads", "reading columns", True, _ranges),
    ("multipart upload", "files over 5 MB", True, _multipart),
    ("replace if unchanged", "nothing here; some tools", False, _replace),
    ("checksum stored", "a second guard beside neuro's own", False, _checksum),
    ("versions listed", "undoing a deletion", False, _versions),
)
