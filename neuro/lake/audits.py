"""Which images of a window were drawn to measure a version by, and what it had called them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

import pyarrow as pa

from neuro.lake import erasure
from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS

TABLE = "audits"


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """An image that was drawn. sequence: from 0, the order in which it counts in its window.

    weight: of an error. is_flagged: whether signals without labels had alarmed in the window. days:
    the length of a window that ended when it was drawn, 0 of a release.
    """

    problem: str
    model_version: str
    window: str
    sequence: int
    sha256: str
    dataset: str
    stratum: str
    weight: float
    predicted: str
    is_flagged: bool
    drawn_at: datetime
    days: float = 0.0


def add(lake: Lake, rows: Sequence[Audited]) -> int:
    """Keep what was drawn of a window; returns how many are new.

    Of two processes that draw at once the one counts whose first row is there first: look at
    ``of_version`` afterwards. Raises StaleError while an erasure is under way.
    """
    erasure.require_none(lake)
    flat = [asdict(row) for row in rows]
    return lake.add(TABLE, pa.Table.from_pylist(flat, SCHEMAS[TABLE]))


def of_version(lake: Lake, problem: str, model_version: str) -> list[Audited]:
    """Everything that was drawn to measure a version, the oldest window first."""
    where = f"problem = {quoted(problem)} AND model_version = {quoted(model_version)}"
    names = [each.name for each in fields(Audited)]
    rows = lake.read(TABLE, columns=names, where=where).to_pylist()
    found = [Audited(**row) for row in rows]
    begun = {each.window: each.drawn_at for each in sorted(found, key=_sequence, reverse=True)}
    found = [each for each in found if each.drawn_at == begun[each.window]]
    return sorted(found, key=lambda row: (row.drawn_at, row.window, row.sequence))


def _sequence(row: Audited) -> int:
    return row.sequence
