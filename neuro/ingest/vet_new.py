"""What arrived: hash every file, vet what the lake has not seen, stream it to the branch."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from neuro.errors import ConfigError
from neuro.images import dicom_header
from neuro.images.sandbox import Rejected
from neuro.images.sanitize import CleanImage
from neuro.ingest import delivery
from neuro.ingest.delivery import Delivery, Item
from neuro.ingest.triage import Arrived
from neuro.lake import tombstones, verify_images
from neuro.lake.lake import Lake
from neuro.lake.schema import SCHEMAS
from neuro.lake.staging import Branch
from neuro.problems.problem import Problem

Check = Callable[[Sequence[Path]], Iterable[CleanImage | Rejected]]

WRITE_ROWS, WRITE_BYTES = 2048, 128_000_000
_HASHERS, _SMALL_BYTES = 2, 1 << 20
_STORED: tuple[str, ...] = ("sha256", "stored", "stored_sha256", "media_type", "width", "height")
_STORED += ("mode", "thumbnail")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One delivery to bring in. check: vets files. who: gave the labels, "source" or a person.

    rulings: sample_id -> label that a person chose in a conflict; it stands against any other.
    cause: what this run answers, where it is not the delivery alone. n_verified: how many images
    are read back at the end.
    """

    problem: Problem
    delivery: Delivery
    check: Check
    now: datetime
    who: str = "source"
    note: str = "ingest"
    rulings: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""
    n_verified: int = 64

    def __post_init__(self) -> None:
        if self.n_verified < 1:
            raise ConfigError(f"n_verified must be at least 1, got {self.n_verified}")


@dataclass(frozen=True, kw_only=True, slots=True)
class New:
    """What is kept in memory of an image that is new to the dataset; the bytes are not.

    stored_sha256: digest of the clean bytes, as vetted. is_written: by this run, to its branch.
    """

    stored_sha256: str
    thumbnail: bytes
    is_written: bool


def run_id(run: Run, arrived: Sequence[Arrived]) -> str:
    """Digest of what arrived: the same delivery is the same run, however often it is started."""
    lines = sorted(f"{a.sha256},{a.item.label},{a.item.source_name}" for a in arrived)
    facts = [run.problem.dataset, *([run.cause] if run.cause else []), *lines]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def hash_files(items: Sequence[Item]) -> list[Arrived]:
    """Digest of every file's bytes, before anything else is done with them.

    Small files one after the other: threads would spend more on taking turns. Large ones beside.
    """
    with ThreadPoolExecutor(_HASHERS) as pool:
        begun = [_hash_file(item, pool) for item in items]
        return [one if isinstance(one, Arrived) else one.result() for one in begun]


def refuse_erased(lake: Lake, arrived: Sequence[Arrived]) -> list[Arrived]:
    """The same files; those that were erased do not enter, and only their digest is told of them.

    Their names, labels and metadata were erased, too.
    """
    gone = tombstones.erased(lake)
    why = Rejected(sha256="", code=tombstones.REASON, message=tombstones.MESSAGE)
    return [
        Arrived(item=_nameless(a.item), sha256=a.sha256, rejected=why) if a.sha256 in gone else a
        for a in arrived
    ]


def vet_new(
    branch: Branch, run: Run, arrived: Sequence[Arrived], held: Iterable[str]
) -> tuple[list[Arrived], dict[str, New]]:
    """Vet what the dataset does not hold, each digest once, and write it to the branch.

    held: the dataset's sample_ids; their bytes were vetted when they came. Of what lies in the lake
    for another dataset, or for a run that was cut short, the facts are read instead; a DICOM file
    is vetted all the same, since its patient is kept nowhere. Returns the files with what was found
    in them, the rejected ones marked, and what is new by digest.
    """
    unknown = {a.sha256: a.item.path for a in arrived if a.rejected is None}
    for sample_id in held:
        unknown.pop(sample_id, None)
    new = {
        sha256: New(
            stored_sha256=row["stored_sha256"], thumbnail=row["thumbnail"], is_written=False
        )
        for sha256, row in verify_images.facts(branch.lake, unknown).items()
    }
    writer = _Writer(branch, run.now)
    rejected: dict[str, Rejected] = {}
    found: dict[str, tuple[Mapping[str, str | float], str]] = {}
    todo = {s: path for s, path in unknown.items() if s not in new or dicom_header.is_dicom(path)}
    for sha256, result in _vetted(todo, run.check):
        if isinstance(result, Rejected):
            rejected |= {} if sha256 in new else {sha256: result}
            continue
        found[sha256] = result.facts, result.group_id_hint
        if sha256 in new:
            continue
        new[sha256] = New(
            stored_sha256=result.stored_sha256, thumbnail=result.thumbnail, is_written=True
        )
        writer.add(result)
    writer.flush()
    if not found and not rejected:
        return list(arrived), new
    return [_told(a, run.problem, rejected, found) for a in arrived], new


def _nameless(item: Item) -> Item:
    return Item(path=item.path, source_name="", label="", given_split="", group_key="")


def _told(
    one: Arrived,
    problem: Problem,
    rejected: Mapping[str, Rejected],
    found: Mapping[str, tuple[Mapping[str, str | float], str]],
) -> Arrived:
    if one.sha256 in found:
        return replace(one, item=delivery.with_facts(one.item, problem, *found[one.sha256]))
    return replace(one, rejected=one.rejected or rejected.get(one.sha256))


def _hash_file(item: Item, pool: ThreadPoolExecutor) -> Arrived | Future[Arrived]:
    try:
        with open(item.path, "rb", buffering=0) as stream:  # noqa: PTH123 - twice as fast
            if os.fstat(stream.fileno()).st_size > _SMALL_BYTES:
                return pool.submit(_hash_large, item)
            return _arrived(item, hashlib.sha256(stream.readall()).hexdigest())
    except OSError as error:
        return _unreadable(item, error)


def _hash_large(item: Item) -> Arrived:
    try:
        with item.path.open("rb", buffering=0) as stream:
            return _arrived(item, hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError as error:
        return _unreadable(item, error)


def _arrived(item: Item, sha256: str) -> Arrived:
    refused = Rejected(sha256="", code="archive", message=item.refused) if item.refused else None
    return Arrived(item=item, sha256=sha256, rejected=refused)


def _unreadable(item: Item, error: OSError) -> Arrived:
    name = hashlib.sha256(f"unreadable {item.source_name}".encode()).hexdigest()
    why = Rejected(sha256="", code="unreadable", message=f"{error.strerror}")
    return Arrived(item=item, sha256=name, rejected=why)


def _vetted(todo: Mapping[str, Path], check: Check) -> Iterator[tuple[str, CleanImage | Rejected]]:
    for sha256, result in zip(todo, check([*todo.values()]) if todo else (), strict=True):
        if result.sha256 in ("", sha256):
            yield sha256, result
        else:
            message = "the file changed while it was read"
            yield sha256, Rejected(sha256="", code="changed", message=message)


class _Writer:
    """Appends clean images to the branch, a bounded number of rows and bytes at a time."""

    def __init__(self, branch: Branch, now: datetime) -> None:
        self._branch, self._now = branch, now
        self._images: list[CleanImage] = []
        self._bytes = 0

    def add(self, image: CleanImage) -> None:
        self._images.append(image)
        self._bytes += len(image.stored)
        if len(self._images) >= WRITE_ROWS or self._bytes >= WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        n = len(self._images)
        known = {name: [getattr(i, name) for i in self._images] for name in _STORED}
        known |= {"ingested_at": [self._now] * n, "run_id": [self._branch.run_id] * n}
        self._branch.append("images", pa.Table.from_pydict(known, SCHEMAS["images"]))
        self._images, self._bytes = [], 0
