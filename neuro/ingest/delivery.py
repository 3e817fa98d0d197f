"""A delivery: a folder of files as its problem says it lies, read into named, labelled items."""

import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

from neuro.errors import ConfigError
from neuro.images import dicom_header
from neuro.ingest import file_kinds, folder_walk, label_csv, sources
from neuro.ingest.folder_walk import Skipped
from neuro.ingest.label_csv import Row
from neuro.ingest.sources import Listing, SourceFile
from neuro.problems.problem import NO_TAG, Problem
from neuro.storage import plain_file

NOTE = "delivery.toml"
_LINK_REMEDIES = {
    folder_walk.OUTSIDE: "name the folder that it leads to with --follow, or copy it there",
    folder_walk.BROKEN: "mount what it leads to and name that with --follow, or copy it there",
    folder_walk.CIRCLE: "put there what is meant, or take the link out",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One file of a delivery, before its bytes are looked at.

    source_name: path inside the delivery; data, never a path to open. label: source label, "" for
    none. given_split: the source's own split, "" for none. group_key: digest of the patient or
    lesion id, "" for none; the id itself is not kept. metadata: JSON object. refused: why it does
    not enter, where that is known before it is looked at.
    """

    path: Path
    source_name: str
    label: str = ""
    given_split: str = ""
    group_key: str = ""
    metadata: str = "{}"
    refused: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What a folder holds. source: where it comes from; is_synthetic: drawn, not measured.

    skipped: what lies there and is neither an image nor of use to this problem.
    """

    items: tuple[Item, ...]
    source: str
    is_synthetic: bool
    skipped: tuple[Skipped, ...] = ()


def read(place: Path | Listing, problem: Problem) -> Delivery:
    """List the images of a folder or an opened source with their labels, given splits and groups.

    Raises ConfigError if the folder does not exist, a class folder is unknown to the problem, or
    its table is missing or wrong.
    """
    listing = sources.whole_folder(place) if isinstance(place, Path) else place
    refuse_lost_links(listing, problem)
    files = _unwrapped(listing, problem)
    table = _read_table(listing, files, problem) if problem.layout.kind == "table" else None
    images, others = file_kinds.sort_files(files)
    if table is not None:
        _check_one_file_per_name(images, table, problem)
    note = _read_note(files)
    return Delivery(
        items=tuple(_items(images, problem, table)),
        source=str(note.get("source", listing.kind)),
        is_synthetic=bool(note.get("synthetic", False)),
        skipped=(
            *listing.skipped,
            *(found for found in others if found.name not in (problem.layout.table, NOTE)),
        ),
    )


def with_facts(
    item: Item, problem: Problem, facts: Mapping[str, str | float], patient_id: str
) -> Item:
    """The item with what vetting found in the file; what the delivery says itself goes before it.

    patient_id: as it stands in a DICOM file. Only its digest is kept, and only by the group rule.
    """
    said = json.loads(item.metadata) if item.metadata != "{}" else {}
    known = {**facts, **{name: value for name, value in said.items() if value or name not in facts}}
    group_key = item.group_key
    if patient_id and not group_key and problem.groups.is_patient_id:
        group_key = _digest(problem.dataset, patient_id)
    return replace(item, group_key=group_key, metadata=json.dumps(known, sort_keys=True))


def write_note(folder: Path, *, source: str, is_synthetic: bool) -> None:
    """Leave the sidecar that tells ``read`` where a delivery comes from."""
    text = f"source = {json.dumps(source)}\nsynthetic = {json.dumps(is_synthetic)}\n"
    (folder / NOTE).write_text(text, encoding="utf-8")


def refuse_lost_links(listing: Listing, problem: Problem) -> None:
    """A link that is not followed may not stand for a class, the table or the note."""
    layout = problem.layout
    needed = {layout.table, NOTE}
    folders = {*problem.labels, *layout.splits} if layout.kind == "folders" else set()
    classes = {unicodedata.normalize("NFC", name) for name in folders}  # as names of files are
    for link in listing.skipped:
        if link.reason not in folder_walk.LINKS:
            continue
        if link.name in needed or link.name.rpartition("/")[2] in classes:
            raise ConfigError(
                f"{link.name!r} in {listing.where} is a {link.reason}, and problem {problem.name} "
                f"needs what is behind it; {_LINK_REMEDIES[link.reason]}"
            )


def _unwrapped(listing: Listing, problem: Problem) -> tuple[SourceFile, ...]:
    """The files; those of an archive that wraps everything into one folder, without that folder."""
    tops = {found.name.partition("/")[0] for found in listing.files}
    if any("/" not in found.name for found in listing.files):
        return listing.files
    if listing.kind != "archive" or len(tops) != 1:
        return listing.files
    inner = tuple(replace(f, name=f.name.partition("/")[2]) for f in listing.files)
    layout = problem.layout
    if layout.kind == "table":
        is_wrapped = layout.table in {found.name for found in inner}
    else:
        folders = [f.name.split("/")[:-1] for f in inner if file_kinds.is_image(f)]
        known = {*layout.splits, *problem.labels}
        is_wrapped = tops.isdisjoint(known) and all(f and f[0] in known for f in folders)
    return inner if is_wrapped else listing.files


def _items(
    images: Sequence[SourceFile], problem: Problem, table: Mapping[str, Row] | None
) -> Iterator[Item]:
    has_tag = problem.groups.tag not in ("", NO_TAG)
    needs_header = has_tag or problem.layout.key in dicom_header.IDENTIFIERS
    of_folder = cache(partial(_of_folder, problem=problem))
    for found in images:
        header = dicom_header.read(found.path) if needs_header else {}
        if table is None:
            row = of_folder(found.name.rpartition("/")[0])
        else:
            keys = _keys(PurePosixPath(found.name), header, problem.layout.key)
            row = next((table[key] for key in keys if key in table), Row())
        yield _item(found, problem, row, header.get(problem.groups.tag, ""))


def _item(found: SourceFile, problem: Problem, row: Row, patient: str) -> Item:
    group = row.group or patient
    pattern = problem.groups.pattern
    if pattern and (match := re.search(pattern, found.name.rpartition("/")[2])):
        group = match.group(1)
    return Item(
        path=found.path,
        source_name=found.name,
        label=row.label,
        given_split=row.given_split,
        group_key=_digest(problem.dataset, group) if group else "",
        metadata=json.dumps(dict(row.metadata), sort_keys=True) if row.metadata else "{}",
    )


def _keys(name: PurePosixPath, header: Mapping[str, str], key: str) -> tuple[str, ...]:
    """What a file may be called in the table, the surest first."""
    if key == "name":
        return (name.name, name.stem)
    return (name.as_posix(),) if key == "path" else (header.get(key, ""),)


def _of_folder(folder: str, problem: Problem) -> Row:
    """Source label and given split from the folders a file stands in."""
    label = given = ""
    for part in PurePosixPath(folder).parts:
        if part in problem.layout.splits:
            given = problem.layout.splits[part]
        elif part in problem.labels:
            label = part
        else:
            raise ConfigError(
                f"folder {part!r} is no class of problem {problem.name}; known are "
                f"{', '.join(sorted(problem.labels))}. Rename it, move it away, or add it under "
                "[labels] in a problem file of your own"
            )
    return Row(label=label, given_split=given)


def _digest(dataset: str, group: str) -> str:
    return hashlib.sha256(f"{dataset}/{group}".encode()).hexdigest()


def _read_note(files: Sequence[SourceFile]) -> dict[str, object]:
    path = next((found.path for found in files if found.name == NOTE), None)
    if path is None:
        return {}
    try:
        return tomllib.loads(plain_file.read_bytes(path).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{NOTE} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"{NOTE} cannot be read: {error.strerror}; give yourself the right to read it"
        ) from error


def _read_table(listing: Listing, files: Sequence[SourceFile], problem: Problem) -> dict[str, Row]:
    path = next((found.path for found in files if found.name == problem.layout.table), None)
    if path is not None:
        return label_csv.read(path, problem)
    if listing.kind == "file":  # one image comes without its table, and so without a label
        return {}
    raise ConfigError(
        f"problem {problem.name} needs the table {problem.layout.table} in {listing.where}; put it "
        "there, or name another under [layout] in a problem file of your own"
    )


def _check_one_file_per_name(
    images: Sequence[SourceFile], table: Mapping[str, Row], problem: Problem
) -> None:
    """A name that two folders hold would give both files one label."""
    if problem.layout.key != "name":
        return
    found: dict[str, str] = {}
    for image in images:
        name = PurePosixPath(image.name)
        key = next((key for key in _keys(name, {}, "name") if key in table), None)
        if key is not None and (other := found.setdefault(key, image.name)) != image.name:
            raise ConfigError(
                f"table {problem.layout.table} names one file where there are two, {other!r} and "
                f"{image.name!r}; rename one, or give paths in the table and set layout.key = "
                '"path"'
            )
