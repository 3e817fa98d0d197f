"""A delivery: a folder of files as its problem says it lies, read into named, labelled items."""

import csv
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from neuro.errors import ConfigError
from neuro.problem import Problem

SIDECARS = (".csv", ".toml", ".json", ".txt", ".md")
NOTE = "delivery.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One file of a delivery, before its bytes are looked at.

    source_name: path inside the delivery; data, never a path to open. label: source label, "" for
    none. given_split: the source's own split, "" for none. group_key: digest of the patient or
    lesion id, "" for none; the id itself is not kept. metadata: JSON object.
    """

    path: Path
    source_name: str
    label: str
    given_split: str
    group_key: str
    metadata: str = "{}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What a folder holds. source: where it comes from; is_synthetic: drawn, not measured."""

    items: tuple[Item, ...]
    source: str
    is_synthetic: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    label: str
    group: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(folder: Path, problem: Problem) -> Delivery:
    """List every file of a delivery with its source label, given split and group.

    Raises ConfigError if the folder does not exist or a class folder is unknown to the problem.
    """
    if not folder.is_dir():
        raise ConfigError(f"source {folder} is no folder; give the folder that holds the images")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix.lower() not in SIDECARS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    table = _read_table(folder, problem) if problem.layout.kind == "table" else {}
    items = tuple(_item(path, folder, problem, table) for path in paths)
    note = _read_note(folder)
    return Delivery(
        items=items,
        source=str(note.get("source", "folder")),
        is_synthetic=bool(note.get("synthetic", False)),
    )


def write_note(folder: Path, *, source: str, is_synthetic: bool) -> None:
    """Leave the sidecar that tells ``read`` where a delivery comes from."""
    text = f"source = {json.dumps(source)}\nsynthetic = {json.dumps(is_synthetic)}\n"
    (folder / NOTE).write_text(text, encoding="utf-8")


def _item(path: Path, folder: Path, problem: Problem, table: Mapping[str, _Row]) -> Item:
    name = path.relative_to(folder)
    if table:
        row = table.get(path.name) or table.get(path.stem) or _Row(label="", group="")
        label, group, given = row.label, row.group, ""
    else:
        label, given = _place(name, problem)
        row, group = _Row(label="", group=""), ""
    if problem.groups.pattern and (match := re.search(problem.groups.pattern, path.name)):
        group = match.group(1)
    return Item(
        path=path,
        source_name=name.as_posix(),
        label=label,
        given_split=given,
        group_key=_digest(problem.dataset, group) if group else "",
        metadata=json.dumps(dict(row.metadata), sort_keys=True),
    )


def _place(name: Path, problem: Problem) -> tuple[str, str]:
    """Source label and given split from the folders a file stands in."""
    label = given = ""
    for part in name.parent.parts:
        if part in problem.layout.splits:
            given = problem.layout.splits[part]
        elif part in problem.labels:
            label = part
        else:
            raise ConfigError(
                f"folder {part!r} (of {name}) is no class of problem {problem.name}; known are "
                f"{', '.join(sorted(problem.labels))}. Rename it, move it away, or add it under "
                "[labels] in a problem file of your own"
            )
    return label, given


def _digest(dataset: str, group: str) -> str:
    return hashlib.sha256(f"{dataset}/{group}".encode()).hexdigest()


def _read_note(folder: Path) -> dict[str, object]:
    path = folder / NOTE
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _read_table(folder: Path, problem: Problem) -> dict[str, _Row]:
    layout, column = problem.layout, problem.groups.column
    path = folder / layout.table
    if not path.is_file():
        raise ConfigError(f"problem {problem.name} needs the table {layout.table} in {folder}")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, restval="")
        needed = {layout.file, layout.label, *layout.metadata, *([column] if column else [])}
        if missing := needed - set(reader.fieldnames or ()):
            raise ConfigError(f"table {path} has no column {sorted(missing)}")
        rows = list(reader)
    unknown = {row[layout.label] for row in rows if row[layout.label]} - set(problem.labels)
    if unknown:
        raise ConfigError(
            f"column {layout.label!r} of {path} holds labels unknown to problem {problem.name}: "
            f"{sorted(unknown)[:5]}; add them under [labels] in a problem file of your own"
        )
    return {
        row[layout.file]: _Row(
            label=row[layout.label],
            group=row[column] if column else "",
            metadata={name: row[name] for name in layout.metadata},
        )
        for row in rows
    }
