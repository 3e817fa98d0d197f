"""The version of a lake's layout, and how an older lake becomes one of today (docs/adr/0011).

A version is a mark of the lake; a lake without the mark is of version 1. Reading needs no
migration. The first write brings the newest state of every table up to date: columns are added or
dropped, no row is touched, and the older versions that releases pin stay as they are. Each step
asks the table itself what it lacks, so a migration that was cut short, or that two processes do at
once, is only repeated. The mark comes last.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from neuro.errors import ConfigError, DeniedError
from neuro.lake import marks
from neuro.lake.branch_names import is_user_branch

if TYPE_CHECKING:
    from neuro.lake.lake import Lake

logger = logging.getLogger(__name__)

FIRST = 1  # of the lakes that say nothing of a version
_MARK = "lake.version"


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One step from a version to the next. adds, drops: columns by table; added ones hold nulls."""

    to: int
    why: str
    adds: Mapping[str, tuple[pa.Field, ...]] = field(default_factory=dict)
    drops: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


MIGRATIONS = (
    Migration(
        to=2,
        why="the perceptual hash of an image was written and never read",
        drops={"images": ("perceptual_hash",)},
    ),
    # Its lines are copied when the next one is written (``journal``); the old table stays.
    Migration(to=3, why="the journal is a chain of numbered lines in a table of its own"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is to be done to one table, on main or a user's branch. added: None drops the column."""

    table: str
    branch: str
    column: str
    added: pa.Field | None = None

    @property
    def says(self) -> str:
        """For people."""
        what = "drop" if self.added is None else "add"
        return f"{what} {self.column} of {self.table} on {self.branch or 'main'}"

    def is_needed(self, schema: pa.Schema) -> bool:
        """Whether a table with this schema has not seen it yet."""
        return (self.column in schema.names) == (self.added is None)


def newest() -> int:
    """The version that this neuro writes."""
    return MIGRATIONS[-1].to


def version(config: Mapping[str, str], uri: str) -> int:
    """A lake's version by its marks. Raises ConfigError for one that a later neuro made."""
    found = int(config.get(_MARK, FIRST))
    if found > newest():
        raise ConfigError(
            f"lake {uri} is of version {found}, and neuro {metadata.version('neuro')} knows "
            f"versions up to {newest()}: a later neuro has written to it. Upgrade neuro, or use "
            "another lake; this one stays as it is"
        )
    return found


def added_later(table: str) -> dict[str, pa.Field]:
    """Columns that a lake of an older version may lack, by name."""
    return {new.name: new for step in MIGRATIONS for new in step.adds.get(table, ())}


def changes(lake: "Lake") -> list[Change]:
    """What a migration would do now; empty where the tables are as this neuro writes them."""
    return [
        change
        for change in _possible(lake)
        if change.is_needed(lake.on(change.branch).open(change.table).schema)
    ]


def migrate(lake: "Lake") -> list[Change]:
    """Bring a lake to this neuro's version; returns what had to be done.

    Raises DeniedError where the lake may be read only.
    """
    before, needed = lake.version, changes(lake)
    if needed:
        logger.warning(
            "lake %s is of version %d and becomes version %d: %s. Releases and their pinned "
            "versions stay as they are",
            *(lake.uri, before, newest(), "; ".join(change.says for change in needed)),
        )
    try:
        for change in needed:
            lake.insist(change.says, partial(_apply, lake, change))
        lake.insist("note the lake's version", partial(_note_version, lake))
    except (DeniedError, OSError) as error:
        # Of a folder, Lance says it as text.
        if isinstance(error, OSError) and "permission denied" not in str(error).lower():
            raise
        raise DeniedError(
            f"lake {lake.uri} is of version {before} and has to become version {newest()} before "
            f"it is written to, and you may not change it ({error}). Let somebody who ingests to "
            "it run `neuro lake migrate`"
        ) from error
    return needed


def select(dataset: Any, table: str, columns: Sequence[str] | None, where: str | None) -> pa.Table:
    """Rows of a table of any version; null in columns that its version does not have yet."""
    later = added_later(table)
    lacking = later.keys() & (set(columns or ()) - set(dataset.schema.names))
    if columns is None or not lacking:
        return dataset.to_table(columns=columns, filter=where)
    present = [name for name in columns if name not in lacking]
    rows = dataset.to_table(columns=present, filter=where)
    for name in lacking:
        rows = rows.append_column(later[name], pa.nulls(rows.num_rows, later[name].type))
    return rows.select(columns)


def touches(table: str, since: int) -> bool:
    """Whether what has changed since a version concerns a table."""
    steps = [step for step in MIGRATIONS if step.to > since]
    return any(table in step.adds or table in step.drops for step in steps)


def update(view: "Lake") -> None:
    """Bring the tables of one branch up to date: one that begins at an old release is old too."""
    for change in changes(view.on("")):
        if change.branch == view.branch:
            _apply(view, change)


def _possible(lake: "Lake") -> Iterator[Change]:
    """Every change of every migration, on main and each user's branch, needed or not."""
    for step in MIGRATIONS:
        for table in sorted({*step.adds, *step.drops}):
            if not lake.has(table):
                continue
            for branch in ["", *filter(is_user_branch, lake.branches(table))]:
                for added in step.adds.get(table, ()):
                    yield Change(table=table, branch=branch, column=added.name, added=added)
                for column in step.drops.get(table, ()):
                    yield Change(table=table, branch=branch, column=column)


def _apply(lake: "Lake", change: Change) -> None:
    """Make a change unless it is made; another process may do the same, or append, meanwhile."""
    view = lake.on(change.branch)
    while True:
        try:
            dataset = view.open(change.table)
            if not change.is_needed(dataset.schema):
                return
            if change.added is None:
                dataset.drop_columns([change.column])
            else:
                dataset.add_columns(change.added)
        except (OSError, ValueError) as error:
            if change.branch and change.branch not in lake.branches(change.table):
                return  # its user has dropped it meanwhile
            is_made = not change.is_needed(view.open(change.table).schema)
            if not is_made and not marks.is_conflict(error):
                raise


def _note_version(lake: "Lake") -> None:
    """Never lowers it: a later neuro may have migrated further meanwhile."""
    is_noted = False
    while not is_noted:
        handle = lake.open("releases")
        is_noted = version(handle.config(), lake.uri) == newest() or marks.compare_and_set(
            handle, {_MARK: str(newest())}
        )
