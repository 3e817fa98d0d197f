"""The file that a person asks answers into: whole or not at all, and never in place of another."""

import csv
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuro import limits
from neuro.errors import ConfigError

ENDINGS = (".parquet", ".csv")
# A spreadsheet takes what begins so for a formula; the apostrophe is what keeps it from that.
_COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def named(out: str) -> Path:
    """The path that a person has named. Raises ConfigError as ``require`` does."""
    if "://" in out:
        raise ConfigError(f"--out {out} must be a file of this machine")
    path = Path(out).absolute()
    require(path)
    return path


def require(path: Path) -> None:
    """Raise ConfigError for a path that no answers can be written to."""
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--out {path} must end in {' or '.join(ENDINGS)}")
    if os.path.lexists(path):
        raise ConfigError(f"--out {path} exists; move it away, or name another file")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.parent}; make it first")


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """What takes tables of this schema; the file is there when the context has ended well.

    Raises ConfigError where one has come there meanwhile, FileAccessError where none can be.
    """
    require(path)
    with limits.writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    scratch = Path(name)  # for this account alone
    try:
        with limits.writing(path), _form(path)(scratch, schema) as add:
            yield add
        with limits.writing(path):
            sync(scratch)
            _place(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _place(scratch: Path, path: Path) -> None:
    try:
        os.link(scratch, path)  # unlike a renaming it takes the place of no other file
    except FileExistsError:
        require(path)
    except OSError:  # a file system without hard links
        require(path)
        scratch.rename(path)


def _form(path: Path) -> Callable[[Path, pa.Schema], Any]:
    return _parquet if path.suffix.lower() == ".parquet" else _csv


@contextmanager
def _parquet(scratch: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    with pq.ParquetWriter(scratch, schema) as writer:
        yield writer.write_table


@contextmanager
def _csv(scratch: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    with scratch.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, quoting=csv.QUOTE_ALL)  # so that no ; within begins a cell
        lines.writerow(map(_cell, schema.names))
        yield lambda table: lines.writerows(
            [_cell(value) for value in row.values()] for row in table.to_pylist()
        )


def _cell(value: Any) -> Any:
    """A value that a spreadsheet shows and does not compute."""
    text = " | ".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_COMPUTED) else text
