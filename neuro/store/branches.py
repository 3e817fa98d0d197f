"""Rows that are not published yet: written to a branch, audited there, then merged by key."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import lance
import pyarrow as pa

from neuro.errors import NeuroError, StaleError
from neuro.store import keys
from neuro.store.lake import Lake, quoted
from neuro.store.tables import SCHEMAS, key_of

# Samples come last: a release has no image but through a sample, and one merge is one commit,
# so a crash leaves either the whole delivery or nothing that a reader could see.
ORDER = ("images", "labels", "samples")


class Branch:
    """One run's unpublished rows.

    The run's id is a digest of its input, and two processes may be given the same. Each writes to a
    branch of its own below the run's; whoever is done first removes them all, with whatever a crash
    has left there.
    """

    def __init__(self, lake: Lake, run_id: str) -> None:
        self.lake, self.run_id = lake, run_id
        self._of_run = "/".join(filter(None, ["ingest", lake.branch, run_id]))
        self.name = f"{self._of_run}/{secrets.token_hex(4)}"
        self._is_published = False
        lake.require_safe()
        for table in ORDER:
            lake.open(table).create_branch(self.name)

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows; nothing of them is visible on main."""
        if rows.num_rows:
            lance.write_dataset(rows, self._tip(table), mode="append")

    def rows(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """What this run has written to a table."""
        return self._tip(table).to_table(columns=columns, filter=f"run_id = {quoted(self.run_id)}")

    def everything(self, table: str, columns: list[str], where: str | None) -> pa.Table:
        """Rows of main as the branch found it, together with the branch's own."""
        return self._tip(table).to_table(columns=columns, filter=where)

    def publish(self) -> None:
        """Merge every row into main by key and remove the branch.

        Three tables are three commits: until its release is made, the run is marked as half
        written, and no other release shows its rows. Raises StaleError if another run has meanwhile
        taken a key: Lance itself would say nothing.
        """
        if self._is_published:  # a repeated try, of which this part had been done
            return
        mark = keys.pending_key(self.lake, self.run_id)
        self.lake.open("releases").update_config({mark: "merging"})
        for table in ORDER:
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
            there = (self.lake.open(table).branches.list() for table in ORDER)
            if isinstance(error, NeuroError) or all(self.name in names for names in there):
                raise
            raise StaleError(
                "another process was done with the same delivery first; run the same command again"
            ) from error

    def _merge(self, table: str) -> None:
        """Bring a table's rows to main, a bounded number of bytes at a time; each part by key."""
        n, inserted = 0, 0
        for rows in self.lake.stream(self._tip(table), self.run_id):
            n += rows.num_rows
            inserted += self.lake.add(table, rows)
        if inserted == n:
            return
        key, where = key_of(SCHEMAS[table]), f"run_id = {quoted(self.run_id)}"
        held = self.lake.read(table, columns=key, where=where).num_rows
        if held < n:
            raise StaleError(
                f"{n - held} rows of {table} were written by another run meanwhile; "
                "run the same command again"
            )

    def _tip(self, table: str) -> lance.LanceDataset:
        return self.lake.open(table).checkout_version((self.name, None))
