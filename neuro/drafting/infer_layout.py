"""Which layout a folder has, told from its files, folders and tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from neuro.drafting import infer_groups
from neuro.errors import ConfigError
from neuro.images import dicom_header
from neuro.ingest import label_csv
from neuro.ingest.sources import SourceFile
from neuro.problems.problem import KEYS, Layout

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}
_LABEL_WORDS = ("label", "class", "diagnosis", "dx", "target", "finding", "category", "grade", "y")
_GROUP_WORD = re.compile(
    "patient|person|participant|subject|lesion|case|individual|^pid$|^mrn$", re.IGNORECASE
)
Headers = Mapping[str, Mapping[str, str]]  # identifiers of each sampled image
_SAMPLE = 200
_MAX_CLASSES = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What was seen. labels: source labels in order; the group rule is in column, tag or pattern.

    ids_are_numbers: whether what groups is a bare number. open_points: what could not be told.
    """

    layout: Layout
    labels: tuple[str, ...]
    column: str = ""
    tag: str = ""
    pattern: str = ""
    ids_are_numbers: bool = False
    open_points: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """A CSV that names images. values: by column, of every line; share: of the images it names."""

    name: str
    values: Mapping[str, Sequence[str]]
    key: str
    file: str
    share: float


def guess(files: Sequence[SourceFile], images: Sequence[SourceFile]) -> Shape:
    """The shape of a folder. Raises ConfigError if it shows no two classes."""
    sample = images[:: max(1, len(images) // _SAMPLE)]
    ids = {found.name: dicom_header.read(found.path) for found in sample}
    tables, unread = _tables(files)
    table = _best_table(tables, images, ids)
    class_folders = _class_folders(images)
    if table is not None and (table.share >= 0.95 or not class_folders):
        shape = _table_shape(table)
        if shape is not None:
            return _grouped(shape, images, ids)
    if not class_folders:
        raise unread[0] if unread else ConfigError(_no_classes(images, files))
    folders = {part for found in images for part in PurePosixPath(found.name).parts[:-1]}
    splits = {name: SPLITS[name.lower()] for name in sorted(folders) if name.lower() in SPLITS}
    unused = [f"what {table.name} says of the images: class folders go before it"] if table else []
    shape = Shape(
        layout=Layout(kind="folders", splits=splits),
        labels=class_folders,
        open_points=tuple(unused),
    )
    return _grouped(shape, images, ids)


def _ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct names without the empty one, in order; where all are numbers, by value."""
    names = sorted(set(labels) - {""})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def _class_folders(images: Sequence[SourceFile]) -> tuple[str, ...]:
    """Names of the class folders; none if the folders say something else."""
    inner = [
        [part for part in PurePosixPath(found.name).parts[:-1] if part.lower() not in SPLITS]
        for found in images
    ]
    names = {parts[0] for parts in inner if parts}
    return _ordered(names) if len(names) > 1 and max(map(len, inner)) == 1 else ()


def _tables(
    files: Sequence[SourceFile],
) -> tuple[dict[str, Mapping[str, Sequence[str]]], list[ConfigError]]:
    """The columns of each CSV, by its name, and what is wrong with those that cannot be read.

    A stray one decides nothing: it may be no table of the images at all.
    """
    tables: dict[str, Mapping[str, Sequence[str]]] = {}
    unread: list[ConfigError] = []
    for found in files:
        if not found.name.lower().endswith(".csv"):
            continue
        try:
            columns, lines = label_csv.lines_of(found.path, found.name)
        except ConfigError as error:
            unread.append(error)
            continue
        tables[found.name] = {column: [line[column] for _, line in lines] for column in columns}
    return tables, unread


def _best_table(
    tables: Mapping[str, Mapping[str, Sequence[str]]], images: Sequence[SourceFile], ids: Headers
) -> _Table | None:
    """The CSV that names the most images, and how; None if none names half of them.

    Of two that are as good it is the first, and so of two ways in one table.
    """
    best: _Table | None = None
    for name, values in tables.items():
        for key in KEYS:
            names_of_images = _names(key, images, ids)
            if not any(names_of_images):
                continue
            for column in values:
                listed = {_as_key(value, key, name) for value in values[column]}
                n_listed = sum(not listed.isdisjoint(names) for names in names_of_images)
                share = n_listed / len(names_of_images)
                if share >= 0.5 and (best is None or share > best.share):
                    best = _Table(name=name, values=values, key=key, file=column, share=share)
    return best


def _names(key: str, images: Sequence[SourceFile], ids: Headers) -> list[tuple[str, ...]]:
    """What each image may be called; for identifiers, each image of the sample."""
    if key == "path":
        return [(found.name,) for found in images]
    if key == "name":
        paths = [PurePosixPath(found.name) for found in images]
        is_sure = len({path.stem for path in paths}) == len(paths)  # else a name means two files
        return [(path.name, path.stem) for path in paths] if is_sure else []
    return [(header[key],) if key in header else () for header in ids.values()]


def _as_key(value: str, key: str, table: str) -> str:
    if key != "path":
        return value
    try:
        return label_csv.confined(value, table, 0)
    except ConfigError:
        return ""


def _table_shape(table: _Table) -> Shape | None:
    """The shape that a table shows: which column is what. None if none could be the label."""
    columns = [name for name in table.values if name != table.file]
    split = next((name for name in columns if _is_split(table.values[name])), "")
    group = table.file
    if table.key != "PatientID":
        group = next((name for name in columns if _is_group(name, table.values[name])), "")
    left = [name for name in columns if name not in (split, group)]
    candidates = [name for name in left if _is_label(table.values[name])]
    if not candidates:
        return None
    label = min(candidates, key=_rank)
    split_names = _ordered(table.values[split]) if split else ()
    ids = [name for name in table.values[group] if name] if group else []
    layout = Layout(
        kind="table",
        table=table.name,
        file=table.file,
        key=table.key,
        label=label,
        split=split,
        splits={name: SPLITS[name.lower()] for name in split_names},
    )
    return Shape(
        layout=layout,
        labels=_ordered(table.values[label]),
        column=group,
        ids_are_numbers=bool(group) and all(name.isdecimal() for name in ids),
        open_points=(
            *_doubtful_label(label, candidates),
            *_unused_columns(table.name, [name for name in left if name != label]),
        ),
    )


def _doubtful_label(label: str, candidates: Sequence[str]) -> list[str]:
    """What to ask where the label's column has no name that says so, and others look like it."""
    others = [name for name in candidates if name != label]
    if _rank(label) < len(_LABEL_WORDS) or not others:
        return []
    return [f"whether {label!r} is the label; it may be {' or '.join(others)}"]


def _unused_columns(table: str, columns: Sequence[str]) -> list[str]:
    if not columns:
        return []
    return [
        f"what the columns {', '.join(columns)} of {table} are for: none is kept. Name those "
        "worth keeping under layout.metadata, but no identifier, and beware of columns that "
        "betray the answer"
    ]


def _rank(column: str) -> int:
    """How little a column's name sounds like the label; below len(_LABEL_WORDS) it is one."""
    name = column.lower()
    if name in _LABEL_WORDS:
        return _LABEL_WORDS.index(name)
    parts = set(re.split(r"[_\W]+", name))
    return len(_LABEL_WORDS) * (1 if parts & set(_LABEL_WORDS) else 2)


def _is_split(values: Sequence[str]) -> bool:
    names = set(values) - {""}
    return len(names) > 1 and all(name.lower() in SPLITS for name in names)


def _is_label(values: Sequence[str]) -> bool:
    """A few names that repeat; no measured numbers."""
    names = set(values) - {""}
    is_measured = any("." in name and name.replace(".", "").isdecimal() for name in names)
    return 1 < len(names) <= min(_MAX_CLASSES, len(values) // 2) and not is_measured


def _is_group(column: str, values: Sequence[str]) -> bool:
    """A name like "patient", and ids that repeat."""
    ids = [value for value in values if value]
    return bool(_GROUP_WORD.search(column)) and 1 < len(set(ids)) < len(ids)


def _grouped(shape: Shape, images: Sequence[SourceFile], ids: Headers) -> Shape:
    """Add the patient of the DICOM header or the file name where no column holds one."""
    if shape.column:
        return shape
    if ids and all(header.get("PatientID") for header in ids.values()):
        numbers = all(header["PatientID"].isdecimal() for header in ids.values())
        return replace(shape, tag="PatientID", ids_are_numbers=numbers)
    names = [PurePosixPath(found.name).name for found in images]
    parts = len({PurePosixPath(found.name).parent for found in images})
    pattern = infer_groups.pattern_of(names, max(parts, len(shape.labels)))
    numbers = pattern.startswith(f"^({infer_groups.LEADING_NUMBER}")
    return replace(shape, pattern=pattern, ids_are_numbers=numbers)


def _no_classes(images: Sequence[SourceFile], files: Sequence[SourceFile]) -> str:
    """What is missing, and what would help."""
    tables = ", ".join(found.name for found in files if found.name.lower().endswith(".csv"))
    depth = max(len(PurePosixPath(found.name).parts) - 1 for found in images)
    saw = f"{len(images)} images, in folders up to {depth} deep"
    return (
        f"no two classes are told apart here: {saw}; tables: {tables or 'none'}. Put the images "
        "into one folder for each class (train and test folders may lie above or below), or add "
        "a CSV with a line for each image: its name or path, and its label. If everything lies in "
        "one inner folder, give that one"
    )
