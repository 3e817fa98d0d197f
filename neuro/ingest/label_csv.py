"""The CSV beside the images: which label, group and split each of them has."""

import csv
import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuro.errors import ConfigError
from neuro.problems.problem import Problem


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
    columns, lines = lines_of(path, layout.table)
    needed = {layout.file, layout.label, layout.split, problem.groups.column, *layout.metadata}
    if missing := needed - {"", *columns}:
        raise ConfigError(
            f"table {layout.table} has no column {sorted(missing)}; it has {', '.join(columns)}. "
            f"Name the right one in problem {problem.name}, or save the table with commas"
        )
    known = {layout.label: ("labels", problem.labels), layout.split: ("splits", layout.splits)}
    for column, (what, names) in known.items():
        unknown = {values[column] for _, values in lines if column} - {"", *names}
        if unknown:
            raise ConfigError(
                f"column {column!r} of {layout.table} holds {what} unknown to problem "
                f"{problem.name}: {sorted(unknown)[:5]}; add them under {what} in a problem file "
                "of your own"
            )
    rows: dict[str, tuple[int, Row]] = {}
    for line, values in lines:
        key = values[layout.file]
        if layout.key == "path":
            key = confined(key, layout.table, line)
        row = _row(values, problem)
        first, said = rows.setdefault(key, (line, row))
        if said != row:
            raise ConfigError(
                f"table {layout.table} says two things of one file, in lines {first} and {line}; "
                "leave one of them, or name another column in layout.file"
            )
    return {key: row for key, (_, row) in rows.items() if key}


def lines_of(path: Path, name: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names, and each line's number with its values, stripped of blanks.

    name: what the table is called, for messages.
    Raises ConfigError if this is no UTF-8 CSV with distinct column names.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            lines = [
                (reader.line_num, {column: row[column].strip() for column in columns})
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"table {name} cannot be read ({error}); save it as CSV, UTF-8, with commas"
        ) from error
    if twice := [column for column, n in Counter(columns).items() if n > 1]:
        raise ConfigError(f"table {name} has the column {twice[0]!r} twice; rename one")
    return columns, lines


def _row(values: Mapping[str, str], problem: Problem) -> Row:
    layout, column = problem.layout, problem.groups.column
    return Row(
        label=values[layout.label],
        group=values[column] if column else "",
        given_split=layout.splits.get(values[layout.split], "") if layout.split else "",
        metadata=tuple((name, values[name]) for name in layout.metadata),
    )


def confined(value: str, table: str, line: int) -> str:
    """A path relative to the table, as a name in the delivery; raises ConfigError outside it."""
    if not value:
        return ""
    given = value.replace("\\", "/")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(table), given))
    if name.startswith(("/", "../")) or name == ".." or re.match("[A-Za-z]:", given):
        raise ConfigError(
            f"table {table}, line {line}: the path leaves the folder of the delivery; write paths "
            "relative to the table, and put the files below it"
        )
    return name
