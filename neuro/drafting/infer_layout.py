"""Which layout a folder has, told from its files, folders and tables."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from neuro.drafting import doubtful_labels, infer_columns, infer_groups, no_classes
from neuro.drafting.infer_columns import MAX_CLASSES, SPLITS, Columns
from neuro.errors import ConfigError
from neuro.images import dicom_header
from neuro.ingest import label_csv, table_match
from neuro.ingest.sources import SourceFile
from neuro.problems.problem import KEYS, Layout
from neuro.storage import plain_file

Headers = Mapping[str, Mapping[str, str]]  # identifiers of each sampled image
_SAMPLE = 200
_FEW_NUMBERS = 10  # so many numbered folders may well be classes, such as grades


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What was seen. classes: by source label, in order; the group rule is column, tag or pattern.

    ids_are_numbers: whether what groups is a bare number. questions: what must be answered before
    anything is ingested; open_points: what else could not be told.
    """

    layout: Layout
    classes: Mapping[str, str]
    column: str = ""
    tag: str = ""
    pattern: str = ""
    ids_are_numbers: bool = False
    questions: tuple[str, ...] = ()
    open_points: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """A CSV that names images. values: by column, of every line.

    lines: by image that it names (of those that were asked), the line's place; share: of all.
    """

    name: str
    values: Mapping[str, Sequence[str]]
    key: str = ""
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)
    share: float = 0.0

    def labels(self, columns: Columns) -> dict[str, str]:
        """What the column of the label says of each image."""
        return {image: self.values[columns.label][line] for image, line in self.lines.items()}


def guess(files: Sequence[SourceFile], images: Sequence[SourceFile]) -> Shape:
    """The shape of a folder. Raises ConfigError, with the causes, if it shows no two classes."""
    sample = images[:: max(1, len(images) // _SAMPLE)]
    ids = {found.name: dicom_header.read(found.path) for found in sample}
    tables, unread = _tables(files, images, ids)
    fitting = sorted((t for t in tables if t.share >= 0.5), key=lambda table: -table.share)
    class_folders = _class_folders(images)
    folder_labels = _folder_labels(images) if class_folders else {}
    for table in fitting[:1]:
        columns = infer_columns.infer(
            table.values, table.file, table.file if table.key == "PatientID" else ""
        )
        if columns and (table.share >= 0.95 or not class_folders):
            shape = _table_shape(table, columns)
            others = [t for t in tables if t.name != table.name]
            questions = _contradictions(table, columns, others, folder_labels)
            shape = replace(shape, questions=(*shape.questions, *questions))
            return _grouped(_with_unread(shape, unread), images, ids)
    if not class_folders:
        reasons = [no_classes.of_table(t.name, t.values, t.file, t.share) for t in tables]
        raise ConfigError(no_classes.message(files, images, [*unread.values(), *reasons]))
    if len(class_folders) > MAX_CLASSES:
        raise ConfigError(
            f"{len(class_folders)} folders would be as many classes, and over {MAX_CLASSES} are "
            "not drafted. If each is a patient, add a CSV with a line for each image: its path, "
            "label and patient; if they are classes, write the problem file by hand"
        )
    shape = _folder_shape(images, class_folders, folder_labels, tables, fitting[:1])
    return _grouped(_with_unread(shape, unread), images, ids)


def _with_unread(shape: Shape, unread: Mapping[str, str]) -> Shape:
    points = [f"what {name} says: {why}" for name, why in unread.items()]
    return replace(shape, open_points=(*shape.open_points, *points))


def _ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct names without the empty one, in order; where all are numbers, by value."""
    names = sorted(set(labels) - {""})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def _inner(image: SourceFile) -> list[str]:
    """The folders that a file stands in, without those of splits; in NFC."""
    parts = PurePosixPath(table_match.nfc(image.name)).parts[:-1]
    return [part for part in parts if part.lower() not in SPLITS]


def _class_folders(images: Sequence[SourceFile]) -> tuple[str, ...]:
    """Names of the class folders; none if the folders say something else."""
    inner = [_inner(found) for found in images]
    names = {parts[0] for parts in inner if parts}
    return _ordered(names) if len(names) > 1 and max(map(len, inner)) == 1 else ()


def _folder_labels(images: Sequence[SourceFile]) -> dict[str, str]:
    return {found.name: "".join(_inner(found)[:1]) for found in images}


def _folder_shape(
    images: Sequence[SourceFile],
    class_folders: Sequence[str],
    folder_labels: Mapping[str, str],
    tables: Sequence[_Table],
    fitting: Sequence[_Table],
) -> Shape:
    folders = {part for found in images for part in PurePosixPath(found.name).parts[:-1]}
    splits = {name: SPLITS[name.lower()] for name in sorted(folders) if name.lower() in SPLITS}
    counts = Counter(folder_labels.values())
    labels = doubtful_labels.look(counts, class_folders, is_table=False)
    questions = [*_patient_folders(class_folders, tables), *labels.questions]
    unused = []
    for table in fitting:
        columns = infer_columns.infer(table.values, table.file)
        if columns:
            said = _compared("the class folders", folder_labels, table, columns)
            questions += said
        unused = [f"what {table.name} says of the images: class folders go before it"]
    return Shape(
        layout=Layout(kind="folders", splits=splits),
        classes=labels.classes,
        questions=tuple(questions),
        open_points=tuple(unused),
    )


def _patient_folders(names: Sequence[str], tables: Sequence[_Table]) -> list[str]:
    """Ask whether folders are patients: numbered alike, or each with a label in a table."""
    for table in tables:
        for column, values in table.values.items():
            listed = {table_match.without_zeros(value) for value in values}
            known = sum(table_match.without_zeros(name) in listed for name in names)
            others = [name for name in table.values if name != column]
            gives_label = any(not infer_columns.why_no_label(table.values[n]) for n in others)
            if known >= 0.8 * len(names) and gives_label:
                return [_ask_patients(names, f"{table.name} lists them in column {column!r}")]
    shapes = {re.sub("[0-9]+", "0", name) for name in names}
    is_numbered = len(shapes) == 1 and shapes != set(names)
    is_long = all(re.search("[0-9]{3}|[0-9]+[._-][0-9]+", name) for name in names)
    is_patient = all(infer_groups.names_patient(name) for name in names)
    if is_numbered and (is_long or is_patient or len(names) > _FEW_NUMBERS):
        return [_ask_patients(names, "they are numbered alike")]
    return []


def _ask_patients(names: Sequence[str], why: str) -> str:
    return (
        f"whether the {len(names)} folders {names[0]}, {names[1]} ... are classes; they look like "
        f"patients: {why}. If they are, write a CSV with a line for each image: its path, its "
        "label and its patient"
    )


def _tables(
    files: Sequence[SourceFile], images: Sequence[SourceFile], ids: Headers
) -> tuple[list[_Table], dict[str, str]]:
    """Every CSV, with how it names images where it does, and why others cannot be read."""
    names = {key: _names(key, images, ids) for key in KEYS}
    tables, unread = [], {}
    for found in files:
        if not found.name.lower().endswith(".csv"):
            continue
        try:
            columns, lines = label_csv.lines_of(found.path, found.name, plain_file.read_bytes)
        except ConfigError as error:
            unread[found.name] = str(error)
            continue
        values = {column: [line[column] for _, line in lines] for column in columns}
        table = _Table(name=found.name, values=values)
        exact = _best_column(table, names, table_match.nfc)
        alike = _best_column(table, names, table_match.without_zeros)
        # Small numbers are alike by chance: a 1 in any column, and the image 01.
        tables.append(alike if exact.share < 0.5 <= alike.share else exact)
    return tables, unread


def _best_column(
    table: _Table, names: Mapping[str, Mapping[str, tuple[str, ...]]], fold: Callable[[str], str]
) -> _Table:
    """The table with the column that names the most images; of two as good it is the first."""
    best = table
    for key, names_of_images in names.items():
        if not names_of_images:
            continue
        for column, values in table.values.items():
            line_of = {fold(_as_key(v, key, table.name)): n for n, v in enumerate(values) if v}
            lines = {
                image: line_of[fold(name)]
                for image, called in names_of_images.items()
                for name in reversed(called)
                if fold(name) in line_of
            }
            share = len(lines) / len(names_of_images)
            if share > best.share:
                best = replace(best, key=key, file=column, lines=lines, share=share)
    return best


def _names(key: str, images: Sequence[SourceFile], ids: Headers) -> Mapping[str, tuple[str, ...]]:
    """What each image may be called; for identifiers, each image of the sample."""
    if key in ("path", "name"):
        called = {found.name: table_match.called(found.name, key) for found in images}
        is_sure = key == "path" or len({stem for *_, stem in called.values()}) == len(called)
        return called if is_sure else {}  # else a name means two files
    of_sample = {name: (header[key],) if key in header else () for name, header in ids.items()}
    return of_sample if any(of_sample.values()) else {}


def _as_key(value: str, key: str, table: str) -> str:
    if key != "path":
        return value
    try:
        return label_csv.confined(value, table, 0)
    except ConfigError:
        return ""


def _table_shape(table: _Table, columns: Columns) -> Shape:
    """The shape that a table shows."""
    split_names = _ordered(table.values[columns.split]) if columns.split else ()
    ids = [name for name in table.values[columns.group] if name] if columns.group else []
    values = table.values[columns.label]
    labels = doubtful_labels.look(Counter(values), _ordered(values), is_table=True)
    layout = Layout(
        kind="table",
        table=table.name,
        file=table.file,
        key=table.key,
        label=columns.label,
        no_label=labels.no_label,
        split=columns.split,
        splits={name: SPLITS[name.lower()] for name in split_names},
    )
    return Shape(
        layout=layout,
        classes=labels.classes,
        column=columns.group,
        ids_are_numbers=bool(columns.group) and all(name.isdecimal() for name in ids),
        questions=(*columns.questions, *labels.questions),
        open_points=tuple(_unused_columns(table.name, columns.unused)),
    )


def _unused_columns(table: str, columns: Sequence[str]) -> list[str]:
    if not columns:
        return []
    return [
        f"what the columns {', '.join(columns)} of {table} are for: none is kept. Name those "
        "worth keeping under layout.metadata, but no identifier, and beware of columns that "
        "betray the answer"
    ]


def _contradictions(
    table: _Table,
    columns: Columns,
    others: Sequence[_Table],
    folder_labels: Mapping[str, str],
) -> list[str]:
    """What to ask where other tables, or the class folders, say something else of the images."""
    questions = []
    labels = table.labels(columns)
    for other in others:
        if more := other.lines.keys() - table.lines.keys():
            questions.append(
                f"whether the images that {other.name} names and {table.name} does not "
                f"({len(more)}) have no label: one table is read. Join the tables"
            )
        other_columns = infer_columns.infer(other.values, other.file) if other.lines else None
        if other_columns:
            questions += _compared(table.name, labels, other, other_columns)
    if folder_labels:
        differ, _ = doubtful_labels.disagreements(folder_labels, labels)
        if differ:
            questions.append(
                f"whether the column {columns.label!r} of {table.name} is the label, or the "
                f"folders are: they differ in {differ} images"
            )
    return questions


def _compared(what: str, labels: Mapping[str, str], other: _Table, columns: Columns) -> list[str]:
    differ, shares = doubtful_labels.disagreements(labels, other.labels(columns))
    if not differ:
        return []
    said = f"they contradict each other in {differ}" if shares else "the two ask different things"
    return [
        f"whether {what} or {other.name} (column {columns.label!r}) says the label of the images: "
        f"{said}. Remove the wrong one, or correct what stands under layout"
    ]


def _grouped(shape: Shape, images: Sequence[SourceFile], ids: Headers) -> Shape:
    """Add the patient of the DICOM header or the file name where no column holds one."""
    if shape.column:
        return shape
    if ids and all(header.get("PatientID") for header in ids.values()):
        numbers = all(header["PatientID"].isdecimal() for header in ids.values())
        return replace(shape, tag="PatientID", ids_are_numbers=numbers)
    names = [PurePosixPath(found.name).name for found in images]
    parts = len({PurePosixPath(found.name).parent for found in images})
    pattern = infer_groups.pattern_of(names, max(parts, len(shape.classes)))
    numbers = pattern.startswith(f"^({infer_groups.LEADING_NUMBER}")
    return replace(shape, pattern=pattern, ids_are_numbers=numbers)
