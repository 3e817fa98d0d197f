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
    tables = [table for found in files if (table := _matched(found, images, ids)) is not None]
    table = max(tables, key=lambda table: table.share, default=None)
    by_folder = _class_folders(images)
    if table is not None and (table.share >= 0.95 or not by_folder):
        shape = _table_shape(table)
        if shape is not None:
            return _grouped(shape, images, ids)
    if not by_folder:
        raise ConfigError(_no_classes(images, files))
    used = {part for found in images for part in PurePosixPath(found.name).parts[:-1]}
    splits = {name: SPLITS[name.lower()] for name in sorted(used) if name.lower() in SPLITS}
    unused = [f"what {table.name} says of the images: class folders go before it"] if table else []
    shape = Shape(
        layout=Layout(kind="folders", splits=splits),
        labels=by_folder,
        open_points=tuple(unused),
    )
    return _grouped(shape, images, ids)


def _ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct names without the empty one, in order; where all are numbers, by value."""
    found = set(labels) - {""}
    are_numbers = all(text.isdecimal() for text in found)
    return tuple(sorted(found, key=(lambda text: (int(text), text)) if are_numbers else None))


def _class_folders(images: Sequence[SourceFile]) -> tuple[str, ...]:
    """Names of the class folders; none if the folders say something else."""
    inner = [
        [part for part in PurePosixPath(found.name).parts[:-1] if part.lower() not in SPLITS]
        for found in images
    ]
    names = {parts[0] for parts in inner if parts}
    return _ordered(names) if len(names) > 1 and max(map(len, inner)) == 1 else ()


def _matched(found: SourceFile, images: Sequence[SourceFile], ids: Headers) -> _Table | None:
    """How a CSV names at least half of the images, if it does; the first of the best ways."""
    if not found.name.lower().endswith(".csv"):
        return None
    columns, lines = label_csv.lines_of(found.path, found.name)
    best: _Table | None = None
    for key in KEYS:
        named = _names(key, images, ids)
        for column in columns if any(named) else ():
            said = {_as_key(values[column], key, found.name) for _, values in lines}
            share = sum(not said.isdisjoint(names) for names in named) / len(named)
            if share >= 0.5 and (best is None or share > best.share):
                by_column = {name: [values[name] for _, values in lines] for name in columns}
                best = _Table(name=found.name, values=by_column, key=key, file=column, share=share)
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
    """Which column is what; None if none could be the label."""
    values = table.values
    columns = [name for name in values if name != table.file]
    split = next((name for name in columns if _is_split(values[name])), "")
    group = next((c for c in columns if _GROUP_WORD.search(c) and _repeats(values[c])), "")
    if table.key == "PatientID":
        group = table.file
    candidates = [c for c in columns if c not in (split, group) and _is_label(values[c])]
    if not candidates:
        return None
    label = min(candidates, key=_rank)
    left = [name for name in columns if name not in (split, group, label)]
    others = [name for name in candidates if name != label]
    open_points = []
    if _rank(label) >= len(_LABEL_WORDS) and others:
        open_points.append(f"whether {label!r} is the label; it may be {' or '.join(others)}")
    if left:
        open_points.append(
            f"what the columns {', '.join(left)} of {table.name} are for: none is kept. Name those "
            "worth keeping under layout.metadata, but no identifier, and beware of columns that "
            "betray the answer"
        )
    return Shape(
        layout=Layout(
            kind="table",
            table=table.name,
            file=table.file,
            key=table.key,
            label=label,
            split=split,
            splits={v: SPLITS[v.lower()] for v in _ordered(values[split])} if split else {},
        ),
        labels=_ordered(values[label]),
        column=group,
        ids_are_numbers=bool(group) and all(v.isdecimal() for v in values[group] if v),
        open_points=tuple(open_points),
    )


def _rank(column: str) -> int:
    """How little a column's name sounds like the label; below len(_LABEL_WORDS) it is one."""
    name = column.lower()
    if name in _LABEL_WORDS:
        return _LABEL_WORDS.index(name)
    parts = set(re.split(r"[_\W]+", name))
    return len(_LABEL_WORDS) * (1 if parts & set(_LABEL_WORDS) else 2)


def _is_split(values: Sequence[str]) -> bool:
    found = set(values) - {""}
    return len(found) > 1 and all(value.lower() in SPLITS for value in found)


def _is_label(values: Sequence[str]) -> bool:
    """A few names that repeat; no measured numbers."""
    found = set(values) - {""}
    return 1 < len(found) <= min(_MAX_CLASSES, len(values) // 2) and not any(
        "." in value and value.replace(".", "").isdecimal() for value in found
    )


def _repeats(values: Sequence[str]) -> bool:
    found = [value for value in values if value]
    return 1 < len(set(found)) < len(found)


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
