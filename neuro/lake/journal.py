"""Create-only records: claims, looks at a test split, verdicts, decisions and rollbacks.

A row's key is its cause. Whoever inserts it first has won; everybody else is told so. That makes
work which must happen once happen once, without a lock.
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from neuro.errors import UnknownNameError
from neuro.lake.lake import Lake, among
from neuro.lake.table_schemas import SCHEMAS

# Of all that is recorded; `neuro journal` lists one of them.
KINDS = (
    *("claim", "failed", "look", "verdict", "decision", "rollback"),
    *("quarantine", "landing", "erasure", "lift"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row: ``key`` names its cause, ``body`` is plain JSON."""

    key: str
    kind: str
    body: dict[str, Any]
    at: datetime


def record(lake: Lake, kind: str, key: str, body: Mapping[str, Any], now: datetime) -> bool:
    """Write a row unless its key is taken; True if this call wrote it."""
    row = {"key": f"{kind}/{key}", "kind": kind, "body": json.dumps(body, sort_keys=True)}
    return lake.add("journal", pa.Table.from_pylist([{**row, "at": now}], SCHEMAS["journal"])) == 1


def entries(lake: Lake, *kinds: str) -> list[Entry]:
    """All rows of these kinds, oldest first. Raises UnknownNameError for a kind that is none."""
    for kind in kinds:
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownNameError(
                f"the journal has no kind {kind!r}: {hint}Its kinds are {', '.join(KINDS)}"
            )
    return _entries(lake, among("kind", kinds))


def get(lake: Lake, kind: str, key: str) -> Entry | None:
    """The row of one key, or None."""
    return next(iter(_entries(lake, among("key", [f"{kind}/{key}"]))), None)


def _entries(lake: Lake, where: str) -> list[Entry]:
    rows = lake.read("journal", where=where).sort_by("at").to_pylist()
    return [Entry(**{**row, "body": json.loads(row["body"])}) for row in rows]
