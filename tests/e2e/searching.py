"""Where a word stands in what neuro keeps: files as they are, and cells of databases and tables."""

import base64
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq


def spellings(word: str) -> tuple[list[bytes], list[bytes]]:
    """How bytes may hold a word: in any case of its letters, and exactly as base64 does."""
    plain = [word.lower().encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    packed = []
    for case in (word.title(), word.lower(), word.upper()):
        for shift in range(3):
            raw = b"\0" * shift + case.encode()
            whole = raw[: len(raw) // 3 * 3]  # what does not hang on the letters around the word
            packed.append(base64.b64encode(whole)[-(-shift * 8 // 6) :])
    return plain, packed


def places(folder: Path, word: str) -> set[str]:
    """Every file, database table and Lance table below a folder that holds the word."""
    plain, packed = spellings(word)
    return {
        place
        for place, raw in contents(folder)
        if any(each in raw for each in packed) or any(each in raw.lower() for each in plain)
    }


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of everything: text may be packed in a file, and is read out of it too."""
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        yield where, b""
        if path.suffix == ".lance" and (path / "_versions").is_dir():
            yield where, cells(lance.dataset(str(path)).to_table())
        elif path.is_file():
            yield where, path.read_bytes() + where.encode()
            if path.suffix == ".parquet":
                yield where, cells(pq.read_table(path))
            if path.suffix == ".db":
                yield from database(path, where)


def cells(table: pa.Table) -> bytes:
    """Text and bytes of a table's columns."""
    kinds = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_binary)
    columns = [c for c in table.columns if any(kind(c.type) for kind in kinds)]
    values = (value for column in columns for value in column.to_pylist() if value)
    return b"\n".join(v if isinstance(v, bytes) else v.encode() for v in values)


def database(path: Path, where: str) -> Iterator[tuple[str, bytes]]:
    """Each table of an SQLite file, with what its journal still holds."""
    with sqlite3.connect(path) as held:
        held.text_factory = bytes
        tables = held.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            rows = held.execute(f'SELECT * FROM "{table.decode()}"').fetchall()  # noqa: S608
            found = (value for row in rows for value in row if isinstance(value, bytes))
            yield f"{where}:{table.decode()}", b"\n".join(found)
