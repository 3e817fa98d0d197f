"""Rows that are not published yet: written to a branch, audited there, then merged by key."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import lance
import pyarrow as pa

from neuro.errors import NeuroError, StaleError
from neuro.lake import branch_names, marks
from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS, key_of
from neuro.storage import disk_full

# Samples come last: a release has no image but through a sample, and one merge is one commit,
# so a crash leaves either the whole delivery or nothing that a reader could see.
ORDER = ("images", "labels", "samples")
_TRIES = 5
_BEATEN = "another process was done with the same delivery first; run the same command again"


class Branch:
    """One run's unpublished rows.

    The run's id is a digest of its input, and two processes may be given the same. Each writes to a
    branch of its own below the run's; whoever is done first removes them all, with whatever a crash
    has left there.
    """

    def __init__(self, lake: Lake, run_id: str) -> None:
        self.lake, self.run_id = lake, run_id
        self._of_run = f"{branch_names.run_branches(lake.branch)}.{run_id}"
        self._is_published, self._appended = False, set[str]()
        lake.prepare_write(*ORDER)
        self.name = self._begin()

    def tip(self, table: str) -> lance.LanceDataset:
        """The newest version of a table on the branch."""
        return self.lake.open(table).checkout_version((self.name, None))

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows; nothing of them is visible on main."""
        if rows.num_rows:
            self._appended.add(table)
            lance.write_dataset(rows, self.tip(table), mode="append")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added: main holds all there is of this run."""
        return not self._appended

    def rows(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """What this run has written to a table."""
        return self.tip(table).to_table(columns=columns, filter=f"run_id = {quoted(self.run_id)}")

    def read(self, table: str, *, columns: list[str], where: str | None = None) -> pa.Table:
        """Rows of main as the branch found it, together with the branch's own."""
        return self.tip(table).to_table(columns=columns, filter=where)

    def publish(self) -> None:
        """Merge every row into main by key and remove the branch.

        Three tables are three commits: until its release is made, the run is marked as half
        written, and no other release shows its rows. Raises StaleError if another run has meanwhile
        taken a key: Lance itself would say nothing.
        """
        if self._is_published:  # a repeated try, of which this part had been done
            return
        if not self.is_empty:
            marks.put(self.lake, marks.half_written_key(self.lake.branch, self.run_id), "merging")
        for table in ORDER:
            if table in self._appended:
                self._merge(table)
        self._is_published = True
        self.drop()

    def drop(self) -> None:
        """Remove every branch of the run; harmless where there is none."""
        for table in ORDER:
            self.lake.drop_branch(table, self._of_run)

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Raises StaleError instead of Lance's error where the branch was removed meanwhile."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, NeuroError) or disk_full.is_full(error) or self._is_whole():
                raise
            raise StaleError(_BEATEN) from error

    def _begin(self) -> str:
        """Make the branch in every table; returns its name.

        Whoever is done with the same run removes a half-made one, too; then another name is taken.
        """
        for _ in range(_TRIES):
            name = f"{self._of_run}.{secrets.token_hex(4)}"
            try:
                for table in ORDER:
                    self.lake.open(table).create_branch(name)
            except OSError as error:  # Lance hands the error's number on as text
                if "No such file" not in str(error):
                    raise
            else:
                return name
        raise StaleError(_BEATEN)

    def _is_whole(self) -> bool:
        """Whether it is known in every table and its files are there.

        Another process may have removed either: what it does not know yet while it is being made,
        it takes for what a crash has left.
        """
        try:
            for table in ORDER:
                self.tip(table)
        except (OSError, ValueError) as error:
            if "not found" not in str(error).lower():
                raise
            return False
        return all(self.name in self.lake.branches(table) for table in ORDER)

    def _merge(self, table: str) -> None:
        """Bring a table's rows to main, a bounded number of bytes at a time; each part by key."""
        n, inserted = 0, 0
        for rows in self.lake.stream(self.tip(table), self.run_id):
            n += rows.num_rows
            inserted += self.lake.add(table, rows)
        if inserted == n:
            return
        key, where = key_of(SCHEMAS[table]), f"run_id = {quoted(self.run_id)}"
        n_own = self.lake.read(table, columns=key, where=where).num_rows
        if n_own < n:
            raise StaleError(
                f"{n - n_own} rows of {table} were written by another run meanwhile; "
                "run the same command again"
            )
