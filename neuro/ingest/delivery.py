"""A delivery: a folder of files as its problem says it lies, read into named, labelled items."""

import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

from neuro import limits
from neuro.errors import ConfigError
from neuro.images import dicom_header
from neuro.images.dicom_header import IDENTIFIERS
from neuro.ingest import file_kinds, folder_walk, label_csv, sources, table_match
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

    remarks: what a person should know of how its table fits the images, in sentences.
    skipped: what lies there and is neither an image nor of use to this problem.
    """

    items: tuple[Item, ...]
    source: str
    is_synthetic: bool
    remarks: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def read(place: Path | Listing, problem: Problem, *, is_whole: bool = True) -> Delivery:
    """List the images of a folder or an opened source with their labels, given splits and groups.

    is_whole: whether every file can be opened; else a table that names no image is no fault yet.
    Raises ConfigError if the problem has open questions, the folder does not exist, a class folder
    is unknown to the problem, or its table is missing, wrong, or names none of the images.
    """
    problem.require_answered()
    listing = sources.whole_folder(place) if isinstance(place, Path) else place
    refuse_lost_links(listing, problem)
    files = _unwrapped(listing, problem)
    table = _read_table(listing, files, problem) if problem.layout.kind == "table" else None
    images, others = file_kinds.sort_files(files)
    needs_header = problem.groups.tag not in ("", NO_TAG) or problem.layout.key in IDENTIFIERS
    headers = {f.name: dicom_header.read(f.path) if needs_header else {} for f in images}
    remarks: tuple[str, ...] = ()
    rows: dict[str, Row] | None = None
    if table is not None:
        rows, remarks = _rows_of_images(headers, table, problem)
        if table and images and not rows and is_whole:
            raise ConfigError(_fits_nothing(len(images), problem))
    note = _read_note(files)
    return Delivery(
        items=tuple(_items(images, problem, rows, headers)),
        source=str(note.get("source", listing.kind)),
        is_synthetic=bool(note.get("synthetic", False)),
        remarks=remarks,
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
        is_known = partial(_is_known_folder, problem=problem)
        is_wrapped = not any(map(is_known, tops)) and all(f and is_known(f[0]) for f in folders)
    return inner if is_wrapped else listing.files


def _items(
    images: Sequence[SourceFile],
    problem: Problem,
    rows: Mapping[str, Row] | None,
    headers: Mapping[str, Mapping[str, str]],
) -> Iterator[Item]:
    of_folder = cache(partial(_of_folder, problem=problem))
    for found in images:
        if rows is None:
            row = of_folder(found.name.rpartition("/")[0])
        else:
            row = rows.get(found.name, Row())
        yield _item(found, problem, row, headers[found.name].get(problem.groups.tag, ""))


def _item(found: SourceFile, problem: Problem, row: Row, patient: str) -> Item:
    group = problem.groups.id_of(found.name) or row.group or patient
    return Item(
        path=found.path,
        source_name=found.name,
        label=row.label,
        given_split=row.given_split,
        group_key=_digest(problem.dataset, group) if group else "",
        metadata=json.dumps(dict(row.metadata), sort_keys=True) if row.metadata else "{}",
    )


def _rows_of_images(
    headers: Mapping[str, Mapping[str, str]], table: Mapping[str, Row], problem: Problem
) -> tuple[dict[str, Row], tuple[str, ...]]:
    """What the table says of each image that it names, and what to remark. headers: by image."""
    layout = problem.layout
    alike: Mapping[str, int] = {}
    if layout.key in IDENTIFIERS:
        ids = {name: header.get(layout.key, "") for name, header in headers.items()}
        keys: Mapping[str, str] = {name: value for name, value in ids.items() if value in table}
    else:
        matches = table_match.match(list(headers), table, key=layout.key, table=layout.table)
        keys, alike = matches.keys, matches.alike
    rows = {name: table[key] for name, key in keys.items()}
    remarks = [
        f"images that {layout.table} names with another spelling ({difference}): {n}; no other "
        "line or image comes near"
        for difference, n in alike.items()
    ]
    if unnamed := len(headers) - len(rows):
        n_lines = len(table) - len(set(keys.values()))
        remarks.append(
            f"images that {layout.table} does not name, and so without a label: {unnamed} of "
            f"{len(headers)}; names in it that belong to no image here: {n_lines}"
        )
    if n_empty := sum(not row.label for row in rows.values()):
        remarks.append(f"images whose label is empty in {layout.table}: {n_empty}")
    return rows, tuple(remarks)


def _fits_nothing(n_images: int, problem: Problem) -> str:
    layout = problem.layout
    return (
        f"table {layout.table} names none of the {n_images} images, so all would be without a "
        f"label: what its column {layout.file!r} holds is no {layout.key} of any of them. Correct "
        "the column, name another in layout.file, or say in layout.key what it holds (name, path, "
        f"{', '.join(IDENTIFIERS)})"
    )


def _of_folder(folder: str, problem: Problem) -> Row:
    """Source label and given split from the folders a file stands in."""
    label = given = ""
    for part in PurePosixPath(folder).parts:
        if part in problem.layout.splits:
            given = problem.layout.splits[part]
        elif known := problem.source_label(part):
            label = known
        else:
            raise ConfigError(
                f"folder {part!r} is no class of problem {problem.name}; known are "
                f"{', '.join(sorted(problem.labels))}. Rename it, move it away, or add it under "
                "[labels] in a problem file of your own"
            )
    return Row(label=label, given_split=given)


def _is_known_folder(name: str, problem: Problem) -> bool:
    return name in problem.layout.splits or bool(problem.source_label(name))


def _digest(dataset: str, group: str) -> str:
    return hashlib.sha256(f"{dataset}/{group}".encode()).hexdigest()


def _read_note(files: Sequence[SourceFile]) -> dict[str, object]:
    path = next((found.path for found in files if found.name == NOTE), None)
    if path is None:
        return {}
    try:
        return tomllib.loads(limits.text_of(path, NOTE, read=plain_file.read_bytes))
    except (ValueError, RecursionError) as error:  # too long a number, too deep a list
        raise ConfigError(f"{NOTE} is not valid TOML: {error}") from error


def _read_table(listing: Listing, files: Sequence[SourceFile], problem: Problem) -> dict[str, Row]:
    path = next((found.path for found in files if found.name == problem.layout.table), None)
    if path is not None:
        return label_csv.read(path, problem)
    if listing.kind == "file":  # one image comes without its table, and so without a label
        return {}
    wanted = table_match.without_zeros(PurePosixPath(problem.layout.table).stem)
    near = [
        f.name for f in files if table_match.without_zeros(PurePosixPath(f.name).stem) == wanted
    ]
    nearest = f" (near it lies {near[0]!r})" if near else ""
    raise ConfigError(
        f"problem {problem.name} needs the table {problem.layout.table} in {listing.where}{nearest}"
        "; put it there as CSV, or name another in layout.table of a problem file of your own"
    )
