"""What was dropped into an inbox, brought here as news: objects fetched, archives unpacked."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from neuro.errors import ConfigError, ManifestError
from neuro.images.dicom_header import IDENTIFIERS
from neuro.ingest import archives, delivery, schemas, sources
from neuro.ingest.archives import ArchiveError
from neuro.ingest.delivery import Delivery, Item
from neuro.ingest.inbox import Poll
from neuro.ingest.sources import Found, Listing
from neuro.problems.problem import Problem


@contextmanager
def opened(where: str, scratch: Path, endpoint: str | None = None) -> Iterator[Listing]:
    """The files of an inbox for as long as the context lasts; a folder is made if it is missing.

    where: a folder or an s3://bucket/prefix, of which only tables and the like are fetched yet.
    """
    with sources.scratch_folder(scratch) as room:
        if "://" not in where:
            Path(where).mkdir(parents=True, exist_ok=True)
            yield replace(sources.folder(Path(where)), room=room)
            return
        listing = sources.listed(where, room, endpoint)
        sources.fetch(listing, [f for f in listing.files if not delivery.is_image(f.name)])
        yield listing


def read(listing: Listing, problem: Problem) -> Delivery:
    """Every file of an inbox by its name and its table; an archive is one item without a label."""
    packed = [found for found in listing.files if archives.is_named_so(found.name)]
    loose = replace(listing, files=tuple(f for f in listing.files if f not in packed))
    items = tuple(_packed(found) for found in packed)
    if items and not any(delivery.is_image(found.name) for found in loose.files):
        return Delivery(items=items, source=listing.kind, is_synthetic=False)
    found = delivery.read(loose, problem)
    return replace(found, items=(*found.items, *items))


def versions(listing: Listing, problem: Problem) -> dict[str, str]:
    """By name, what tells an object from an earlier one; none for a folder, whose files tell it.

    A table that names images by their header may say something new of any of them.
    """
    by_header = problem.layout.key in IDENTIFIERS
    found = {file.name: file.version for file in listing.files if file.version}
    table = found.get(problem.layout.table, "") if by_header else ""
    return {name: f"{version} {table}".strip() for name, version in found.items()}


def bring(poll: Poll, listing: Listing, problem: Problem) -> Poll:
    """The same look, its news as they are to be read: objects fetched, archives unpacked.

    The images of an archive are those of a delivery of its own, named below it. One that cannot be
    taken in is an item that is refused. What has vanished meanwhile is left out.
    """
    names = {item.source_name for item in poll.fresh.items}
    wanted = [file for file in listing.files if file.name in names]
    fresh = poll.fresh
    if listing.kind == "bucket":
        sources.fetch(listing, wanted)
        wanted = [file for file in wanted if file.path.exists()]
        sidecars = [file for file in listing.files if not delivery.is_image(file.name)]
        # Read again: only now the headers can say group and label.
        fresh = read(replace(listing, files=tuple(sidecars + wanted)), problem)
    packed = {file.name: file for file in wanted if archives.is_named_so(file.name)}
    loose = tuple(item for item in fresh.items if item.source_name not in packed)
    parts = [_unpacked(file, listing, problem) for file in packed.values()]
    here = {file.name for file in wanted}
    return replace(
        poll,
        fresh=_joined([*([replace(fresh, items=loose)] if loose or not parts else []), *parts]),
        marks={name: mark for name, mark in poll.marks.items() if name in here},
    )


def _packed(found: Found, refused: str = "") -> Item:
    return Item(
        path=found.path,
        source_name=found.name,
        label="",
        given_split="",
        group_key="",
        refused=refused,
    )


def _unpacked(packed: Found, listing: Listing, problem: Problem) -> Delivery:
    room = Path(tempfile.mkdtemp(dir=listing.room))
    try:
        inside = delivery.read(sources.unpacked(packed.path, room), problem)
        if not inside.items:
            raise ArchiveError(f"archive {packed.name} holds no images", "it holds no images")
        schemas.check_manifest(inside.items, problem).require()
    except ConfigError as error:
        shutil.rmtree(room)
        refused = _packed(packed, refused=_why(error, problem))
        return Delivery(items=(refused,), source="archive", is_synthetic=False)
    except FileNotFoundError:
        return Delivery(items=(), source="archive", is_synthetic=False)
    except OSError:  # it cannot be read, and waits like any such file
        return Delivery(items=(_packed(packed),), source="archive", is_synthetic=False)
    named = (replace(i, source_name=f"{packed.name}/{i.source_name}") for i in inside.items)
    return replace(inside, items=tuple(named))


def _why(error: ConfigError, problem: Problem) -> str:
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
    )
