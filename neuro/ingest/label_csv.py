"""The CSV beside the images: which label, group and split each of them has."""

import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuro import limits
from neuro.errors import ConfigError
from neuro.ingest.table_match import nfc, without_ending
from neuro.problems.problem import Problem
from neuro.storage import plain_file

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_NO_ID = {"nan", "na", "n/a", "#n/a", "<na>", "none", "null", "unknown", "-", "?"}  # no one's id
_SHOWN_LINES = 8
_FEW_LINES = 3  # below, a likeness of the first line to the others says nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What the table says of a file; each "" where it says nothing."""

    label: str = ""
    group: str = ""
    given_split: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


def read(path: Path, problem: Problem) -> dict[str, Row]:
    """Rows by what the column ``layout.file`` holds.

    Messages give lines, not values: a value may be a patient's. Raises ConfigError for a table
    that cannot be read, lacks a column, says two things of one file, or holds an unknown value.
    """
    layout = problem.layout
    columns, lines = lines_of(path, layout.table, plain_file.read_bytes)
    needed = {layout.file, layout.label, layout.split, problem.groups.column, *layout.metadata}
    if missing := needed - {"", *columns}:
        raise ConfigError(
            f"table {layout.table} has no column {sorted(missing)}; it has {', '.join(columns)}. "
            f"Name the right one in problem {problem.name}, or the columns in the table's first "
            "line"
        )
    _require_known(lines, problem)
    _refuse(
        [line for line, values in lines if not values[layout.file]],
        f"table {layout.table}: these lines name no file in column {layout.file!r}",
        "Fill it in, or remove the lines",
    )
    rows: dict[str, tuple[int, Row]] = {}
    for line, values in lines:
        key = nfc(values[layout.file])
        if layout.key == "path":
            key = confined(key, layout.table, line)
        row = _row(values, problem)
        first, said = rows.setdefault(key, (line, row))
        if said != row:
            raise ConfigError(
                f"table {layout.table} says two things of one file, in lines {first} and {line}; "
                "leave one of them, or name another column in layout.file"
            )
    return {key: row for key, (_, row) in rows.items()}


def lines_of(
    path: Path, name: str, read: Callable[[Path], bytes] = Path.read_bytes
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names, and each line's number with its values, stripped of blanks.

    name: what the table is called, for messages. Columns and lines that are wholly empty are left
    out. read: how the file is opened, where others may replace it. Raises ConfigError, with the
    numbers of the lines, if this is no UTF-8 CSV with distinct column names and as many cells in
    each line; FileAccessError if it may not be read.
    """
    text = limits.text_of(path, f"table {name}", "save it as CSV, UTF-8, with commas", read)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ConfigError(
            f"table {name} cannot be read (line {reader.line_num}: {error}); save it as CSV, "
            "UTF-8, with commas"
        ) from error
    filled = [(line, row) for line, row in cells if any(row)]
    if not filled:
        raise ConfigError(f"table {name} is empty; give it a line of column names and its lines")
    (first, header), *body = filled
    _check_separator(header, name)
    width = len(header)
    _refuse(
        [line for line, row in body if len(row) < width or any(row[width:])],
        f"table {name}: these lines have not the {width} cells of line {first}",
        'Put cells that hold a comma into quotes ("a, b"), and fill in what is missing',
    )
    _refuse(
        [line for line, row in body if row[:width] == header],
        f"table {name}: these lines repeat the column names of line {first}",
        "Remove them; where two tables were joined, look whether their columns agree",
    )
    lines = [(line, row[:width]) for line, row in body]
    used = [n for n, column in enumerate(header) if column or any(row[n] for _, row in lines)]
    columns = [header[n] for n in used]
    if twice := [column for column, n in Counter(map(nfc, columns)).items() if n > 1]:
        raise ConfigError(
            f"table {name} has the column {twice[0]!r} twice; rename one, in line {first}"
        )
    if _is_data(columns, [[row[n] for n in used] for _, row in lines]):
        raise ConfigError(
            f"table {name} has no column names: its line {first} holds data like the others. Put a "
            "line of names, such as file,label, above it"
        )
    return columns, [(line, {header[n]: row[n] for n in used}) for line, row in lines]


def _require_known(lines: Sequence[tuple[int, Mapping[str, str]]], problem: Problem) -> None:
    """Refuse labels and splits that the problem does not know."""
    layout = problem.layout
    if layout.label:
        values = {cells[layout.label] for _, cells in lines} - {"", *layout.no_label}
        unknown = {value for value in values if not problem.source_label(value)}
        _refuse_unknown(unknown, layout.label, "labels", problem)
    if layout.split:
        values = {cells[layout.split] for _, cells in lines} - {"", *layout.splits}
        _refuse_unknown(values, layout.split, "splits", problem)


def _refuse_unknown(unknown: Collection[str], column: str, what: str, problem: Problem) -> None:
    if unknown:
        raise ConfigError(
            f"column {column!r} of {problem.layout.table} holds {what} unknown to problem "
            f"{problem.name}: {sorted(unknown)[:5]}; add them under {what} in a problem file "
            f"of your own{', or to layout.no_label those that mean none' * (what == 'labels')}"
        )


def _refuse(lines: Sequence[int], what: str, remedy: str) -> None:
    if lines:
        shown = ", ".join(map(str, lines[:_SHOWN_LINES]))
        more = f" and {len(lines) - _SHOWN_LINES} more" if len(lines) > _SHOWN_LINES else ""
        raise ConfigError(f"{what}: {shown}{more}. {remedy}")


def _check_separator(header: Sequence[str], name: str) -> None:
    """Refuse a table whose cells stand between semicolons, tabs or bars."""
    for separator, called in _SEPARATORS.items():
        in_all = sum(cell.count(separator) for cell in header)
        if in_all >= len([cell for cell in header if cell]):
            raise ConfigError(
                f"table {name} is separated by {called}; save it as CSV with commas (or replace "
                "the separator, where no cell holds a comma)"
            )


def _is_data(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line is none of names: it names an image, or looks like the lines below."""
    if any(without_ending(cell) != nfc(cell).casefold() for cell in header):
        return True
    if len(rows) < _FEW_LINES:
        return False
    alike = []
    for n, cell in enumerate(header):
        values = [row[n] for row in rows if row[n]]
        is_shaped = len(set(values)) > 1 and {_shape(value) for value in values} == {_shape(cell)}
        has_digit, has_letter = _shape(cell) != cell, re.search("[^\\W\\d]", cell) is not None
        if has_digit and has_letter and is_shaped:
            return True
        alike.append((has_digit and is_shaped) or cell in values)
    return all(alike)


def _shape(text: str) -> str:
    return re.sub("[0-9]+", "0", text)


def _row(values: Mapping[str, str], problem: Problem) -> Row:
    layout, column = problem.layout, problem.groups.column
    return Row(
        label=problem.source_label(values[layout.label]),
        group=values[column] if column and values[column].casefold() not in _NO_ID else "",
        given_split=layout.splits.get(values[layout.split], "") if layout.split else "",
        metadata=tuple((name, values[name]) for name in layout.metadata),
    )


def confined(value: str, table: str, line: int) -> str:
    """A path relative to the table, as a name in the delivery; raises ConfigError outside it."""
    if not value:
        return ""
    given = value.replace("\\", "/")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(table), given))
    is_absolute = re.match("/|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*:/", given) is not None
    if is_absolute or name.startswith("../") or name == "..":
        why = "is absolute" if is_absolute else "leaves the folder of the delivery"
        raise ConfigError(
            f"table {table}, line {line}: the path {why}; write paths relative to the table, and "
            "put the files below it"
        )
    return name
