"""A lake: one folder or bucket prefix of Lance tables whose rows are only ever added, by key."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import lance
import pyarrow as pa

from neuro.errors import ConfigError
from neuro.store.tables import BRANCHED, SCHEMAS, key_of

_NOT_FOUND = (FileNotFoundError, ValueError)


class Lake:
    """The tables below one URI; each is made when it is first written to.

    branch: "" for main, else the Lance branch on which this view has the tables of BRANCHED.
    """

    branch = ""

    def __init__(self, uri: str) -> None:
        if not uri:
            raise ConfigError("lake is empty; give a folder or an s3://bucket/prefix")
        self.uri = uri.rstrip("/")

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    def on(self, branch: str) -> Self:
        """The same lake, seen from a Lance branch; "" is main."""
        view = copy.copy(self)
        view.branch = branch
        return view

    def open(self, table: str, schema: pa.Schema | None = None) -> lance.LanceDataset:
        """The newest version of a table on this branch, made empty if it is not there yet."""
        if self.branch and table in BRANCHED:
            return lance.dataset(self._path(table)).checkout_version((self.branch, None))
        if self.has(table):
            return lance.dataset(self._path(table))
        if "://" not in self.uri:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        empty = (schema or SCHEMAS[table]).empty_table()
        try:
            return lance.write_dataset(empty, self._path(table), enable_stable_row_ids=True)
        except OSError:  # somebody made it meanwhile
            return lance.dataset(self._path(table))

    def has(self, table: str) -> bool:
        """Whether the table has ever been written."""
        try:
            lance.dataset(self._path(table))
        except _NOT_FOUND:
            return False
        return True

    def at(self, table: str, version: int) -> lance.LanceDataset:
        """A table as it was at a version of this branch."""
        if self.branch and table in BRANCHED:
            return lance.dataset(self._path(table)).checkout_version((self.branch, version))
        return lance.dataset(self._path(table), version=version)

    def add(self, table: str, rows: pa.Table) -> int:
        """Insert the rows whose key is new; returns how many that were. Rows are never changed."""
        if not rows.num_rows:
            return 0
        done = (
            self.open(table, rows.schema)
            .merge_insert(key_of(rows.schema))
            .when_not_matched_insert_all()
            .execute(rows)
        )
        return int(done["num_inserted_rows"])

    def read(
        self, table: str, *, columns: list[str] | None = None, where: str | None = None
    ) -> pa.Table:
        """Rows of the newest version; an empty table where nothing was written yet."""
        if not self.has(table):
            schema = SCHEMAS[table]
            chosen = [schema.field(name) for name in columns] if columns else list(schema)
            return pa.schema(chosen).empty_table()
        return self.open(table).to_table(columns=columns, filter=where)

    def _path(self, table: str) -> str:
        return f"{self.uri}/{table}.lance"


def batches(dataset: lance.LanceDataset, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Stream columns that hold bytes, a bounded number of rows at a time."""
    yield from dataset.scanner(columns=columns, batch_size=512).to_batches()


def quoted(value: str) -> str:
    """A string literal for a Lance filter."""
    return "'" + value.replace("'", "''") + "'"
