"""The files of an inbox: listed, read by name, and fetched and unpacked where they are new."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from neuro.errors import ConfigError, ManifestError
from neuro.images.dicom_header import IDENTIFIERS
from neuro.ingest import archives, delivery, file_kinds, schemas, sources
from neuro.ingest.archives import ArchiveError
from neuro.ingest.delivery import Delivery, Item
from neuro.ingest.inbox import InboxScan
from neuro.ingest.sources import Listing, SourceFile
from neuro.problems.problem import Problem
from neuro.storage.location import DEADLINE_S

_EMPTY = "it holds no images; archives inside an archive are not opened"


@contextmanager
def opened(
    where: str,
    scratch: Path,
    endpoint: str | None = None,
    deadline_s: float = DEADLINE_S,
    follow: Sequence[str] = (),
) -> Iterator[Listing]:
    """The files of an inbox for as long as the context lasts; a folder is made if it is missing.

    where: a folder or an s3://bucket/prefix, of which only tables and the like are fetched yet.
    follow: folders outside that links may lead to.
    """
    with sources.scratch_folder(scratch) as room:
        if "://" not in where:
            Path(where).mkdir(parents=True, exist_ok=True)
            yield replace(sources.folder(Path(where), follow), room=room)
            return
        listing = sources.objects(where, room, endpoint, deadline_s)
        sources.fetch(listing, _tables(listing))
        yield listing


def read(listing: Listing, problem: Problem) -> Delivery:
    """Every file of an inbox by its name and its table; an archive is one item without a label."""
    problem.require_answered()
    packed = [file for file in listing.files if archives.is_named_so(file.name)]
    loose = [file for file in listing.files if not archives.is_named_so(file.name)]
    archive_items = tuple(Item(path=file.path, source_name=file.name) for file in packed)
    images_there, others = file_kinds.sort_files(loose)
    if packed and not images_there:
        delivery.refuse_lost_links(listing, problem)
        skipped = (*listing.skipped, *others)
        return Delivery(
            items=archive_items, source=listing.kind, is_synthetic=False, skipped=skipped
        )
    # The headers of objects are not here yet, and so not what their table may name them by.
    is_whole = listing.kind != "bucket" or problem.layout.key not in IDENTIFIERS
    images = delivery.read(replace(listing, files=tuple(loose)), problem, is_whole=is_whole)
    return replace(images, items=(*images.items, *archive_items))


def versions(listing: Listing, problem: Problem) -> dict[str, str]:
    """By name, what tells an object from an earlier one; none for a folder, whose files tell it.

    A table that names images by their header may say something new of any of them.
    """
    by_name = {file.name: file.version for file in listing.files if file.version}
    table = by_name.get(problem.layout.table, "") if problem.layout.key in IDENTIFIERS else ""
    return {name: f"{version} {table}".strip() for name, version in by_name.items()}


def fetch(scan: InboxScan, listing: Listing, problem: Problem) -> InboxScan:
    """The same scan with fresh files that can be read: objects fetched, archives unpacked.

    An archive is replaced by its images, which are named below it ("in.zip/a.jpg"). One that cannot
    be taken in is an item that says why. Files that have vanished meanwhile are left out.
    """
    fresh_names = {item.source_name for item in scan.fresh.items}
    files = [file for file in listing.files if file.name in fresh_names]
    fresh = scan.fresh
    if listing.kind == "bucket":
        files = list(sources.fetch(listing, files))
        # Read again: only now can the headers tell group and label. The others are read along, so
        # that no line of the table is taken from an image that has it.
        fetched = {file.name for file in files}
        again = read(listing, problem)
        fresh = replace(again, items=tuple(i for i in again.items if i.source_name in fetched))
    packed = [file for file in files if archives.is_named_so(file.name)]
    images = [item for item in fresh.items if not archives.is_named_so(item.source_name)]
    deliveries = [_unpack(file, listing, problem) for file in packed]
    if images or not packed:
        deliveries.insert(0, replace(fresh, items=tuple(images), skipped=()))
    joined = _joined(deliveries)
    skipped = (*scan.fresh.skipped, *fresh.skipped, *joined.skipped)
    names = {file.name for file in files}
    return replace(
        scan,
        fresh=replace(joined, skipped=tuple(dict.fromkeys(skipped))),
        marks={name: mark for name, mark in scan.marks.items() if name in names},
    )


def _tables(listing: Listing) -> list[SourceFile]:
    """Files that say something of images: tables and notes."""
    return [file for file in listing.files if file.name.lower().endswith(file_kinds.SIDECARS)]


def _unpack(archive: SourceFile, listing: Listing, problem: Problem) -> Delivery:
    """The images of an archive, or one item that says why it is refused."""
    room = Path(tempfile.mkdtemp(dir=listing.room))
    archive_item = Item(path=archive.path, source_name=archive.name)
    unread = Delivery(items=(), source="archive", is_synthetic=False)
    try:
        inside = delivery.read(sources.unpacked(archive.path, room), problem)
        if not inside.items:
            raise ArchiveError(str(file_kinds.no_images(archive.name, inside.skipped)), _EMPTY)
        schemas.check_manifest(inside.items, problem).require()
    except ConfigError as error:
        shutil.rmtree(room)
        refused = replace(archive_item, refused=_refusal(error, problem))
        return replace(unread, items=(refused,))
    except FileNotFoundError:
        return unread
    except OSError:  # it cannot be read, and waits like any such file
        return replace(unread, items=(archive_item,))
    items = [replace(i, source_name=f"{archive.name}/{i.source_name}") for i in inside.items]
    skipped = [replace(s, name=f"{archive.name}/{s.name}") for s in inside.skipped]
    return replace(inside, items=tuple(items), skipped=tuple(skipped))


def _refusal(error: ConfigError, problem: Problem) -> str:
    """What is wrong and what to do, without the name of any file: it is kept in the lake."""
    if isinstance(error, ManifestError):
        return str(error)
    if isinstance(error, ArchiveError):
        return f"the archive was not taken in: {error.reason}. Pack it again and drop it again"
    return (
        f"the archive does not fit problem {problem.name}: `neuro ingest` of this file says where. "
        "Correct it and drop it again"
    )


def _joined(parts: Sequence[Delivery]) -> Delivery:
    return Delivery(
        items=tuple(item for part in parts for item in part.items),
        source=", ".join(sorted({part.source for part in parts})),
        is_synthetic=any(part.is_synthetic for part in parts),
        remarks=tuple(remark for part in parts for remark in part.remarks),
        skipped=tuple(one for part in parts for one in part.skipped),
    )
