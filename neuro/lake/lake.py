"""A lake: one folder or bucket prefix of Lance tables whose rows are only ever added, by key."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

import lance
import pyarrow as pa
import pyarrow.compute as pc

from neuro.errors import ConfigError, DeniedError
from neuro.lake import migration, scans
from neuro.lake.table_schemas import BRANCHED, SCHEMAS, key_of
from neuro.storage import conformance, disk_full, lance_retry, location, store

_CACHE = 128 << 20  # bytes of manifests and footers that a process keeps of a lake in a bucket

_TABLE = ".lance"

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Lake:
    """The tables below one URI; each is made when it is first written to.

    branch: "" for main, else the Lance branch on which this view has the tables of BRANCHED.
    endpoint: of the S3 server, None for AWS. deadline_s: how long a store may stay silent.
    is_alone: nobody else writes, so a server whose conditional writes are not atomic will do.
    place: where in which bucket it lies, None for a folder.
    """

    def __init__(
        self,
        uri: str,
        endpoint: str | None = None,
        deadline_s: float = location.DEADLINE_S,
        *,
        is_alone: bool = False,
    ) -> None:
        if not uri:
            raise ConfigError("lake is empty; give a folder or an s3://bucket/prefix")
        self.uri, self.branch = uri.rstrip("/"), ""
        self._reached_by = (endpoint, deadline_s)
        self._is_safe_to_write = is_alone  # else require_safe tries it before the first write
        self._layout = _Layout()
        if "://" in self.uri and not self.uri.startswith("s3://"):
            raise ConfigError(f"lake {uri!r} is neither a folder nor an s3://bucket/prefix")
        self.store = store.open(self.uri, endpoint, deadline_s)
        self.place = self.store.place
        if self.place is None:
            _refuse_file(Path(self.uri))
        self._access: dict[str, Any] = {}  # how Lance gets there
        if self.place is not None:
            # Connections and what never changes, such as manifests, are shared by all handles.
            session = lance.Session  # type: ignore[attr-defined]  # documented, not in its __all__
            self._access = {
                "storage_options": lance_retry.options(self.place),
                "session": session(metadata_cache_size_bytes=_CACHE),
            }

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    def __reduce__(self) -> tuple[Callable[..., "Lake"], tuple[Any, ...]]:
        """What travels to another process: where the lake is and how it is read, and nothing open.

        A folder travels by its whole path: another process may stand elsewhere.
        """
        uri = self.uri if self.place else str(Path(self.uri).absolute())
        return _reopened, (uri, *self._reached_by, self._is_safe_to_write, self.branch)

    def on(self, branch: str) -> Self:
        """The same lake, seen from a Lance branch; "" is main."""
        view = object.__new__(type(self))
        vars(view).update(vars(self), branch=branch)
        return view

    def insist(self, what: str, call: Callable[[], T]) -> T:
        """Do a piece of idempotent work, in a bucket as often as it takes.

        Raises StorageError if the store refuses, or stays silent past the deadline, or if the
        folder's disk is full.
        """
        if self.place is None:
            return disk_full.guard(self.uri, what, call)
        return lance_retry.repeat(self.place, what, call)

    @property
    def version(self) -> int:
        """Of the layout of its tables (``migration``).

        Raises ConfigError where a later neuro has written to it.
        """
        return self.insist("read the version of the lake", self._known_version)

    def require_safe(self) -> None:
        """Before writing: race conditional writes once in this process for each bucket.

        Raises StorageError where two writers were both told that they had won.
        """
        if self.place is not None and not self._is_safe_to_write:
            conformance.require_atomic(self.place)
            self._is_safe_to_write = True

    def prepare_write(self, *tables: str) -> None:
        """Before writing to tables: see ``require_safe``; an older lake is migrated first.

        Raises DeniedError where a table has to be migrated by somebody who may.
        """
        self.require_safe()
        if self._layout.is_denied or self.version == migration.newest():
            return
        try:
            migration.migrate(self)
        except DeniedError as error:
            if any(migration.touches(table, self.version) for table in tables):
                raise
            _log.warning("%s. What is written now is not concerned", error)
            self._layout.is_denied = True
        else:
            self._layout.version = migration.newest()

    def open(self, table: str, schema: pa.Schema | None = None) -> lance.LanceDataset:
        """The newest version of a table on this branch, made empty if it is not there yet."""
        return self.insist(f"open {table}", lambda: self._open(table, schema))

    def tables(self) -> list[str]:
        """Names of the tables that lie here, sorted."""
        folders = self.store.folders()
        return [name.removesuffix(_TABLE) for name in folders if name.endswith(_TABLE)]

    def has(self, table: str) -> bool:
        """Whether the table has ever been written."""
        return self.insist(f"look for {table}", lambda: self._latest(table)) is not None

    def at(self, table: str, version: int) -> lance.LanceDataset:
        """A table as it was at a version of this branch."""
        is_branched = self.branch and table in BRANCHED

        def find() -> lance.LanceDataset:
            self._known_version()
            where = self._path(table)
            if is_branched:
                dataset = lance.dataset(where, **self._access)
                return dataset.checkout_version((self.branch, version))
            return lance.dataset(where, version=version, **self._access)

        return self.insist(f"open {table} at version {version}", find)

    def add(self, table: str, rows: pa.Table) -> int:
        """Insert the rows whose key is new; returns how many that were. Rows are never changed."""
        if not rows.num_rows:
            return 0
        self.prepare_write(table)
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
        names = SCHEMAS[table].names if columns is None and table in SCHEMAS else columns

        def scan() -> pa.Table:
            dataset = self._latest(table)
            if dataset is not None:
                return migration.select(dataset, table, names, where)
            return pa.schema([SCHEMAS[table].field(name) for name in names or ()]).empty_table()

        return self.insist(f"read {table}", scan)

    def scan(
        self, what: str, begin: Callable[[int], Iterable[pa.RecordBatch]]
    ) -> Iterator[pa.RecordBatch]:
        """The batches of a scan; one that breaks off goes on where it was.

        begin: starts the scan after so many rows.
        """
        running: Iterator[pa.RecordBatch] | None = None
        n_read = 0

        def step() -> pa.RecordBatch | None:
            nonlocal running
            running = running or iter(begin(n_read))
            try:
                return next(running, None)
            except BaseException:
                running = None
                raise

        while (batch := self.insist(what, step)) is not None:
            n_read += batch.num_rows
            yield batch

    def stream(
        self, dataset: lance.LanceDataset, run_id: str, columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """A run's rows of one version in order, some megabytes at a time.

        columns: with run_id; None for all.
        """
        where = f"run_id = {quoted(run_id)}"
        addresses = self.insist(
            "find a run's rows",
            lambda: dataset.to_table(columns=["run_id"], filter=where, with_row_address=True),
        )
        numbers = {address >> 32 for address in addresses["_rowaddr"].to_pylist()}
        fragments = [part for part in dataset.get_fragments() if part.fragment_id in numbers]
        if not fragments:
            return
        parts: list[pa.RecordBatch] = []
        # Without a filter: see scans.batches.
        begin = partial(scans.batches, dataset, columns, None, fragments=fragments)
        for batch in self.scan("read a run's rows", begin):
            parts.append(batch.filter(pc.equal(batch["run_id"], run_id)))
            if sum(part.nbytes for part in parts) >= scans.BYTES:
                yield pa.Table.from_batches(parts)
                parts = []
        if parts:
            yield pa.Table.from_batches(parts)

    def branches(self, table: str) -> list[str]:
        """Names of a table's branches, sorted.

        Read from the names of their entries alone: Lance opens each entry that it has listed, and
        fails if another process removes one in between.
        """
        return sorted(_branch_of(key) for key in self._entries(table))

    def drop_branch(self, table: str, name: str) -> None:
        """Remove a branch of a table, those below it and all files; harmless where there is none.

        Below it are those whose name goes on with a dot. The entry goes first and the files second.
        Files that a killed run left would make the branch impossible to create again, so they go
        whether the branch is known or not. Lance's own removal is not used: it takes the folders
        above along while another process may be making a branch there (docs/traps.md).
        """
        trees = f"{table}.lance/tree"
        folders = [tree for tree in self.store.folders(trees) if _is_below(tree, name)]
        entries = [key for key in self._entries(table) if _is_below(_branch_of(key), name)]
        self.store.delete_all(entries)
        for folder in folders:
            self.store.delete_folder(f"{trees}/{folder}")

    def drop_tags(self, table: str, branch: str) -> None:
        """Remove the tags of a branch's versions."""
        tags = self.open(table).tags.list()
        self.store.delete_all(
            f"{table}.lance/_refs/tags/{tag}.json"
            for tag, facts in tags.items()
            if facts["branch"] == branch
        )

    def _entries(self, table: str) -> list[str]:
        """The files that name a table's branches; one that is still being written has no name."""
        entries = self.store.entries(f"{table}.lance/_refs/branches")
        return [entry.key for entry in entries if entry.key.endswith(".json")]

    def _identical(self, table: str, rows: pa.Table) -> int:
        """How many of the rows stand in the table as they are, bytes and lists aside."""
        plain = [entry.name for entry in rows.schema if pa.types.is_string(entry.type)]
        plain += [entry.name for entry in rows.schema if pa.types.is_timestamp(entry.type)]
        stored = self.read(table, columns=plain)
        for name in {*key_of(rows.schema)} & {*plain}:  # before a million rows become objects
            stored = stored.filter(pc.is_in(stored[name], rows[name]))
        stored_rows = {tuple(row.values()) for row in stored.to_pylist()}
        return sum(tuple(row.values()) in stored_rows for row in rows.select(plain).to_pylist())

    def _latest(self, table: str) -> lance.LanceDataset | None:
        self._known_version()
        dataset = self._on_main(table)
        if dataset is None:
            return None
        self._check_columns(table, dataset.schema)
        if self.branch and table in BRANCHED:
            return dataset.checkout_version((self.branch, None))
        return dataset

    def _on_main(self, table: str) -> lance.LanceDataset | None:
        """A table on main, whatever it looks like; None where there is none."""
        try:
            return lance.dataset(self._path(table), **self._access)
        except (FileNotFoundError, ValueError) as error:
            # A store that refuses or fails raises ValueError, too: that table may well be there.
            if isinstance(error, ValueError) and "was not found" not in str(error):
                raise
            return None

    def _known_version(self) -> int:
        """Read once for all views of the lake."""
        if self._layout.version is None:
            releases = self._on_main("releases")
            config = {} if releases is None else releases.config()
            self._layout.version = migration.version(config, self.uri)
        return self._layout.version

    def _check_columns(self, table: str, found: pa.Schema) -> None:
        """Refuse a table that no migration would make whole."""
        needed = set(SCHEMAS.get(table, found).names) - set(migration.added_later(table))
        if lacking := sorted(needed - set(found.names)):
            raise ConfigError(
                f"table {table} of {self.uri} lacks {', '.join(lacking)}: another version of neuro "
                "made this lake, from before lakes had versions, or the table was altered from "
                "outside; ingest the images into a new lake"
            )

    def _open(self, table: str, schema: pa.Schema | None = None) -> lance.LanceDataset:
        dataset = self._latest(table)
        if dataset is not None:
            return dataset
        self.require_safe()
        if self.place is None:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        try:
            lance.LanceDataset.commit(
                self._path(table),
                lance.LanceOperation.Overwrite(schema or SCHEMAS[table], []),
                read_version=0,
                max_retries=0,  # write_dataset tries again, and empties what another has begun
                storage_options=self._access.get("storage_options"),
                enable_stable_row_ids=True,
            )
        except OSError:  # somebody made it meanwhile
            dataset = self._latest(table)
            if dataset is None:
                raise
            return dataset
        return lance.dataset(self._path(table), **self._access)

    def _path(self, table: str) -> str:
        return f"{self.uri}/{table}.lance"


@dataclass(slots=True)
class _Layout:
    """What a process has learnt of a lake's version, for all views of it.

    version: None before it was read. is_denied: a migration was refused, and need not be tried
    again.
    """

    version: int | None = None
    is_denied: bool = False


def _refuse_file(folder: Path) -> None:
    """Raises ConfigError if a file stands where the lake's folder, or one around it, has to."""
    with suppress(PermissionError):  # said when a table is read, with what to do
        for place in (folder, *folder.parents):
            if place.is_file():
                raise ConfigError(f"lake {folder}: {place} is a file; give a folder")


def _reopened(
    uri: str, endpoint: str | None, deadline_s: float, is_checked: bool, branch: str
) -> Lake:
    return Lake(uri, endpoint, deadline_s, is_alone=is_checked).on(branch)


def _branch_of(entry: str) -> str:
    return unquote(entry.rpartition("/")[2]).removesuffix(".json")


def _is_below(branch: str, name: str) -> bool:
    return f"{branch}.".startswith(f"{name}.")


def quoted(value: str) -> str:
    """A string literal for a Lance filter."""
    return "'" + value.replace("'", "''") + "'"


def among(column: str, values: Iterable[str]) -> str:
    """A Lance filter for the rows that have one of these values in a column."""
    listed = ", ".join(map(quoted, values))
    return f"{column} IN ({listed})" if listed else "false"
