"""A lake: one folder or bucket prefix of Lance tables whose rows are only ever added, by key."""

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import unquote

import lance
import pyarrow as pa

from neuro.errors import ConfigError
from neuro.store import disk, objects, patience, places, probe
from neuro.store.tables import BRANCHED, SCHEMAS, key_of

T = TypeVar("T")


class Lake:
    """The tables below one URI; each is made when it is first written to.

    branch: "" for main, else the Lance branch on which this view has the tables of BRANCHED.
    endpoint: of the S3 server, None for AWS. deadline_s: how long a store may stay silent.
    is_alone: nobody else writes, so a server whose conditional writes are not atomic will do.
    """

    def __init__(
        self,
        uri: str,
        endpoint: str | None = None,
        deadline_s: float = places.DEADLINE_S,
        *,
        is_alone: bool = False,
    ) -> None:
        if not uri:
            raise ConfigError("lake is empty; give a folder or an s3://bucket/prefix")
        self.uri, self.branch = uri.rstrip("/"), ""
        self._is_checked = is_alone
        self._place, self._options = None, None
        if self.uri.startswith("s3://"):
            self._place = places.place(self.uri, endpoint, deadline_s)
            self._options = patience.options(self._place)
        elif "://" in self.uri:
            raise ConfigError(f"lake {uri!r} is neither a folder nor an s3://bucket/prefix")

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    def on(self, branch: str) -> Self:
        """The same lake, seen from a Lance branch; "" is main."""
        view = copy.copy(self)
        view.branch = branch
        return view

    def insist(self, what: str, call: Callable[[], T]) -> T:
        """Do a piece of idempotent work, in a bucket as often as it takes.

        Raises StorageError if the store refuses, or stays silent past the deadline, or if the
        folder's disk is full.
        """
        if self._place is None:
            return disk.insist(self.uri, what, call)
        return patience.insist(self._place, what, call)

    def require_safe(self) -> None:
        """Before writing: race conditional writes once in this process for each bucket.

        Raises StorageError where two writers were both told that they had won.
        """
        if self._place is not None and not self._is_checked:
            probe.require_atomic(self._place)
            self._is_checked = True

    def open(self, table: str, schema: pa.Schema | None = None) -> lance.LanceDataset:
        """The newest version of a table on this branch, made empty if it is not there yet."""
        return self.insist(f"open {table}", lambda: self._open(table, schema))

    def has(self, table: str) -> bool:
        """Whether the table has ever been written."""
        return self.insist(f"look for {table}", lambda: self._found(table)) is not None

    def at(self, table: str, version: int) -> lance.LanceDataset:
        """A table as it was at a version of this branch."""
        is_branched = self.branch and table in BRANCHED

        def find() -> lance.LanceDataset:
            where, told = self._path(table), self._options
            if is_branched:
                dataset = lance.dataset(where, storage_options=told)
                return dataset.checkout_version((self.branch, version))
            return lance.dataset(where, version=version, storage_options=told)

        return self.insist(f"open {table} at version {version}", find)

    def add(self, table: str, rows: pa.Table) -> int:
        """Insert the rows whose key is new; returns how many that were. Rows are never changed."""
        if not rows.num_rows:
            return 0
        self.require_safe()
        tries = 0

        def insert() -> int:
            nonlocal tries
            tries += 1
            done = (
                self._open(table, rows.schema)
                .merge_insert(key_of(rows.schema))
                .when_not_matched_insert_all()
                .execute(rows)
            )
            return int(done["num_inserted_rows"])

        inserted = self.insist(f"add to {table}", insert)
        # A try may break off after its commit; then the next one finds its own rows.
        return inserted if tries == 1 else self._identical(table, rows)

    def read(
        self, table: str, *, columns: list[str] | None = None, where: str | None = None
    ) -> pa.Table:
        """Rows of the newest version; an empty table where nothing was written yet."""

        def scan() -> pa.Table:
            dataset = self._found(table)
            if dataset is not None:
                return dataset.to_table(columns=columns, filter=where)
            schema = SCHEMAS[table]
            chosen = [schema.field(name) for name in columns] if columns else list(schema)
            return pa.schema(chosen).empty_table()

        return self.insist(f"read {table}", scan)

    def drop_branch(self, table: str, name: str) -> None:
        """Remove a branch of a table, those below it and all files; harmless where there is none.

        Lance forgets the branch first and its files second. Files that a killed run left would
        make the branch impossible to create again, so they go whether the branch is known or not.
        """
        if self._place is None:
            dataset = self.open(table)
            for known in dataset.branches.list():
                if f"{known}/".startswith(f"{name}/"):
                    self._forget(dataset, known)
            shutil.rmtree(Path(self._path(table)) / "tree" / name, ignore_errors=True)
            return
        # One DELETE for each file, not one POST for all: a policy can tell them apart, on every
        # server, and each is repeated until it is answered.
        held = objects.Objects(self._place)
        there = f"/_refs/branches/{name}/"
        known = [
            entry
            for entry in held.list(f"{table}.lance/_refs/branches")
            if there in f"{unquote(entry.key).removesuffix('.json')}/"
        ]
        for entry in [*known, *held.list(f"{table}.lance/tree/{name}")]:
            held.delete(entry.key)

    @staticmethod
    def _forget(dataset: lance.LanceDataset, branch: str) -> None:
        try:
            dataset.branches.delete(branch)
        except (OSError, ValueError):
            if branch in dataset.branches.list():
                raise  # else another process was done with the same first

    def _identical(self, table: str, rows: pa.Table) -> int:
        """How many of the rows are held as they are, bytes and lists aside."""
        plain = [entry.name for entry in rows.schema if pa.types.is_string(entry.type)]
        plain += [entry.name for entry in rows.schema if pa.types.is_timestamp(entry.type)]
        held = {tuple(row.values()) for row in self.read(table, columns=plain).to_pylist()}
        return sum(tuple(row.values()) in held for row in rows.select(plain).to_pylist())

    def _found(self, table: str) -> lance.LanceDataset | None:
        try:
            dataset = lance.dataset(self._path(table), storage_options=self._options)
        except (FileNotFoundError, ValueError) as error:
            # A store that refuses or fails raises ValueError, too: that table may well be there.
            if isinstance(error, ValueError) and "was not found" not in str(error):
                raise
            return None
        if self.branch and table in BRANCHED:
            return dataset.checkout_version((self.branch, None))
        return dataset

    def _open(self, table: str, schema: pa.Schema | None = None) -> lance.LanceDataset:
        held = self._found(table)
        if held is not None:
            return held
        self.require_safe()
        if self._place is None:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        empty = (schema or SCHEMAS[table]).empty_table()
        try:
            return lance.write_dataset(
                empty,
                self._path(table),
                enable_stable_row_ids=True,
                storage_options=self._options,
            )
        except OSError:  # somebody made it meanwhile
            held = self._found(table)
            if held is None:
                raise
            return held

    def _path(self, table: str) -> str:
        return f"{self.uri}/{table}.lance"


def batches(dataset: lance.LanceDataset, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Stream columns that hold bytes, a bounded number of rows at a time."""
    yield from dataset.scanner(columns=columns, batch_size=512).to_batches()


def quoted(value: str) -> str:
    """A string literal for a Lance filter."""
    return "'" + value.replace("'", "''") + "'"
