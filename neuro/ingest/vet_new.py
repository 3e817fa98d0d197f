"""Hash the files of a delivery, vet the new ones, and write these to the branch."""

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
from neuro.ingest.schemas import ManifestReport
from neuro.ingest.triage import DeliveredFile
from neuro.lake import tombstones, verify_images
from neuro.lake.lake import Lake
from neuro.lake.staging import Branch
from neuro.lake.table_schemas import SCHEMAS
from neuro.problems.problem import Problem
from neuro.storage import plain_file

Check = Callable[[Sequence[Path]], Iterable[CleanImage | Rejected]]

WRITE_ROWS, WRITE_BYTES = 2048, 128_000_000
_HASHERS, _SMALL_BYTES = 2, 1 << 20
_STORED: tuple[str, ...] = ("sha256", "stored", "stored_sha256", "media_type", "width", "height")
_STORED += ("mode", "thumbnail")


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestRun:
    """One delivery to ingest. check: vets files. who: gave the labels, "source" or a person.

    decided_labels: sample_id -> label that a person chose in a conflict; it replaces any other.
    cause: what this run is the answer to, where that is not the delivery alone. n_verified: how
    many images are read back at the end. manifest: the report of its check, if that was made.

    Every way into a release makes one: it raises ConfigError where the problem has open questions.
    """

    problem: Problem
    delivery: Delivery
    check: Check
    now: datetime
    who: str = "source"
    note: str = "ingest"
    decided_labels: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""
    n_verified: int = 64
    manifest: ManifestReport | None = None

    def __post_init__(self) -> None:
        if self.n_verified < 1:
            raise ConfigError(f"n_verified must be at least 1, got {self.n_verified}")
        self.problem.require_answered()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewImage:
    """What is kept in memory of an image that is new to the dataset; its bytes are not.

    stored_sha256: digest of the clean bytes, as vetted. is_written: by this run, to its branch;
    False if the lake has the image already.
    """

    stored_sha256: str
    thumbnail: bytes
    is_written: bool


def run_id(run: IngestRun, files: Sequence[DeliveredFile]) -> str:
    """Digest of what is delivered: the same delivery is the same run, however often it starts."""
    lines = sorted(f"{f.sha256},{f.item.label},{f.item.source_name}" for f in files)
    cause = [run.cause] if run.cause else []
    facts = [run.problem.dataset, *cause, *lines]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def hash_files(items: Sequence[Item]) -> list[DeliveredFile]:
    """Digest of every file's bytes, before anything else is done with them.

    Small files are hashed one after the other, as threads would spend more on taking turns; large
    ones side by side.
    """
    with ThreadPoolExecutor(_HASHERS) as pool:
        hashed = [_hash_file(item, pool) for item in items]
        return [file.result() if isinstance(file, Future) else file for file in hashed]


def refuse_erased(lake: Lake, files: Sequence[DeliveredFile]) -> list[DeliveredFile]:
    """The same files, those rejected that were erased from the lake.

    Of these only the digest is kept: their names, labels and metadata were erased, too.
    """
    erased = tombstones.erased(lake)
    reason = Rejected(sha256="", code=tombstones.REASON, message=tombstones.MESSAGE)
    return [
        DeliveredFile(
            item=Item(path=file.item.path, source_name=""), sha256=file.sha256, rejected=reason
        )
        if file.sha256 in erased
        else file
        for file in files
    ]


def vet_new(
    branch: Branch, run: IngestRun, files: Sequence[DeliveredFile], known: Iterable[str]
) -> tuple[list[DeliveredFile], dict[str, NewImage]]:
    """Vet every image that the dataset does not have, once, and write it to the branch.

    known: the dataset's sample_ids, whose bytes were vetted before. Of an image that the lake has
    for another dataset, or from a run that was cut short, the facts are read from there; a DICOM
    file is vetted all the same, because the lake does not keep its patient. Returns the files with
    what vetting found, the bad ones rejected, and the new images by digest.
    """
    paths = {file.sha256: file.item.path for file in files if file.rejected is None}
    for sample_id in known:
        paths.pop(sample_id, None)
    new_images = {
        sha256: NewImage(
            stored_sha256=row["stored_sha256"], thumbnail=row["thumbnail"], is_written=False
        )
        for sha256, row in verify_images.facts(branch.lake, paths).items()
    }
    to_vet = {
        sha256: path
        for sha256, path in paths.items()
        if sha256 not in new_images or dicom_header.is_dicom(path)
    }
    writer = _Writer(branch, run.now)
    rejected: dict[str, Rejected] = {}
    images: dict[str, _Facts] = {}
    for sha256, result in _vetted(to_vet, run.check):
        is_in_lake = sha256 in new_images
        if isinstance(result, CleanImage):
            images[sha256] = _Facts(facts=result.facts, patient_id=result.group_id_hint)
            if not is_in_lake:
                new_images[sha256] = NewImage(
                    stored_sha256=result.stored_sha256, thumbnail=result.thumbnail, is_written=True
                )
                writer.add(result)
        elif not is_in_lake:
            rejected[sha256] = result
    writer.flush()
    vetted = [_with_result(file, run.problem, rejected, images) for file in files]
    return vetted, new_images


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """What vetting found in a file beside its pixels. patient_id: of a DICOM file, as it stands."""

    facts: Mapping[str, str | float]
    patient_id: str


def _with_result(
    file: DeliveredFile,
    problem: Problem,
    rejected: Mapping[str, Rejected],
    images: Mapping[str, _Facts],
) -> DeliveredFile:
    if file.sha256 in images:
        found = images[file.sha256]
        item = delivery.with_facts(file.item, problem, found.facts, found.patient_id)
        return replace(file, item=item)
    if file.rejected is None and file.sha256 in rejected:
        return replace(file, rejected=rejected[file.sha256])
    return file


def _hash_file(item: Item, pool: ThreadPoolExecutor) -> DeliveredFile | Future[DeliveredFile]:
    try:
        with plain_file.open_plain(item.path) as stream:
            if os.fstat(stream.fileno()).st_size > _SMALL_BYTES:
                return pool.submit(_hash_large, item)
            return _hashed(item, hashlib.sha256(stream.read()).hexdigest())
    except OSError as error:
        return _unreadable(item, error)


def _hash_large(item: Item) -> DeliveredFile:
    try:
        with plain_file.open_plain(item.path) as stream:
            return _hashed(item, hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError as error:
        return _unreadable(item, error)


def _hashed(item: Item, sha256: str) -> DeliveredFile:
    if not item.refused:
        return DeliveredFile(item=item, sha256=sha256)
    reason = Rejected(sha256="", code="archive", message=item.refused)
    return DeliveredFile(item=item, sha256=sha256, rejected=reason)


def _unreadable(item: Item, error: OSError) -> DeliveredFile:
    name = hashlib.sha256(f"unreadable {item.source_name}".encode()).hexdigest()
    reason = Rejected(sha256="", code="unreadable", message=f"{error.strerror}")
    return DeliveredFile(item=item, sha256=name, rejected=reason)


def _vetted(paths: Mapping[str, Path], check: Check) -> Iterator[tuple[str, CleanImage | Rejected]]:
    """The result of each file, by the digest that the file had when it was hashed."""
    if not paths:
        return
    for sha256, result in zip(paths, check([*paths.values()]), strict=True):
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
        columns = {name: [getattr(image, name) for image in self._images] for name in _STORED}
        columns |= {"ingested_at": [self._now] * n, "run_id": [self._branch.run_id] * n}
        self._branch.append("images", pa.Table.from_pydict(columns, SCHEMAS["images"]))
        self._images, self._bytes = [], 0
