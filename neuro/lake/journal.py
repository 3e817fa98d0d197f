"""A chain of create-only lines: claims, looks at a test split, verdicts, decisions, who serves.

A line's key is its cause. Whoever writes it first has won; everybody else is told so. That makes
work which must happen once happen once, without a lock.

Each line has the next number, which is taken create-only, and the hash of the line before it, as in
Haber and Stornetta (1991), doi:10.1007/BF00196791: a line that is altered, dropped, moved or
written twice breaks the chain. A tail that is cut off does not, so the last line's hash, the head,
is signed and kept elsewhere (``journal_heads``).
"""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuro.errors import DamagedError, UnknownNameError
from neuro.lake.lake import Lake, among, quoted
from neuro.lake.table_schemas import SCHEMAS

TABLE = "journal_lines"
UNNUMBERED = "journal"  # the table of lakes before version 3, whose lines become the first ones
# Of all that is recorded; `neuro journal list` lists one of them.
KINDS = (
    *(
        "claim",
        "failed",
        "look",
        "verdict",
        "response",
        "decision",
        "approval",
        "rollback",
        "alias",
    ),
    *("lock", "acceptance", "quarantine", "landing", "erasure", "lift"),
    *("incident", "incident owner", "incident end"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line: ``key`` names its cause, ``body`` is plain JSON. number: from 1, in its order."""

    number: int
    key: str
    kind: str
    body: dict[str, Any]
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line as it is stored. previous: hash of the line before, "" for the first."""

    number: int
    key: str
    kind: str
    body: str
    at: datetime
    previous: str
    hash: str

    @property
    def digest(self) -> str:
        """What its hash must be: SHA-256 of everything else in it, as JSON."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        text = json.dumps([self.number, self.key, self.kind, self.body, at, self.previous])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def entry(self) -> Entry:
        """The line without its place in the chain."""
        body = json.loads(self.body)
        return Entry(number=self.number, key=self.key, kind=self.kind, body=body, at=self.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """What is wrong with a line of this number."""

    number: int
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The last line at some time; number 0 and hash "" of an empty journal."""

    number: int
    hash: str


def record(lake: Lake, kind: str, key: str, body: Mapping[str, Any], now: datetime) -> bool:
    """Write a line unless its key is taken; True if this call wrote it."""
    named, text = f"{kind}/{key}", json.dumps(body, sort_keys=True)
    lake.prepare_write(TABLE)
    while True:
        last = _last_number(lake)
        if not last and (earlier := _unnumbered(lake)):
            _add(lake, earlier)  # whoever else does it at this moment adds the same
            continue
        found = _lines(lake, f"number = {last} OR key = {quoted(named)}")
        if any(line.key == named for line in found):
            return False
        head = next((line.hash for line in found if line.number == last), "")
        line = _sealed(last + 1, named, kind, text, now, head)
        if _add(lake, [line]) == 1:
            return True  # else another took the number, perhaps for the same key


def entries(lake: Lake, *kinds: str) -> list[Entry]:
    """All lines of these kinds, default of every kind, in their order.

    Raises UnknownNameError for a kind that is none.
    """
    for kind in kinds:
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownNameError(
                f"the journal has no kind {kind!r}: {hint}Its kinds are {', '.join(KINDS)}"
            )
    return [line.entry for line in lines(lake, among("kind", kinds) if kinds else None)]


def get(lake: Lake, kind: str, key: str) -> Entry | None:
    """The line of one key, or None."""
    found = lines(lake, among("key", [f"{kind}/{key}"]))
    return found[0].entry if found else None


def stored(lake: Lake, kind: str, key: str) -> Entry:
    """The line of a key that was written. Raises DamagedError where it is gone."""
    found = get(lake, kind, key)
    if found is None:
        raise DamagedError(
            f"line {kind}/{key} of the journal of {lake.uri} was written and is gone; "
            "`neuro journal verify` says what else is"
        )
    return found


def lines(lake: Lake, where: str | None = None) -> list[Line]:
    """Lines as they are stored, by number. where: a Lance filter."""
    found = _lines(lake, where)
    # A lake that nobody has written to since it was of version 2 has them where they were.
    return found if found or _last_number(lake) else _unnumbered(lake, where)


def head(lake: Lake) -> Head:
    """The last line."""
    last = _last_number(lake)
    found = _lines(lake, f"number = {last}") if last else _unnumbered(lake)[-1:]
    return Head(number=found[-1].number, hash=found[-1].hash) if found else Head(number=0, hash="")


def check(stored: Sequence[Line], heads: Sequence[Head] = ()) -> list[Damage]:
    """What is wrong with a journal, by number: every line in any order, and heads kept elsewhere.

    A line that was altered does not have its hash; one that was forged with its hash does not fit
    the line after it or a head; of one that was dropped the number is missing.
    """
    damaged: dict[int, str] = {}
    by_number: dict[int, Line] = {}
    keys: dict[str, int] = {}
    for line in sorted(stored, key=lambda line: line.number):
        if line.number in by_number or line.number < 1:
            damaged.setdefault(line.number, "stands there more than once")
        elif line.hash != line.digest:
            damaged[line.number] = "was altered: it does not have its hash"
        elif line.key in keys:
            damaged[line.number] = f"has the key of line {keys[line.key]}"
        by_number.setdefault(line.number, line)
        keys.setdefault(line.key, line.number)
    last = max((*by_number, *(head.number for head in heads)), default=0)
    for number in range(1, last + 1):
        found, before = by_number.get(number), by_number.get(number - 1)
        if found is None:
            damaged[number] = "is missing"
        elif found.previous != (before.hash if before else "") and (before or number == 1):
            damaged.setdefault(number, "does not follow the line before it")
    for kept in heads:
        found = by_number.get(kept.number)
        if found is not None and found.hash != kept.hash:
            damaged.setdefault(kept.number, "is not the one whose hash was kept")
    return [Damage(number=number, what=what) for number, what in sorted(damaged.items())]


def _last_number(lake: Lake) -> int:
    return int(pc.max(lake.read(TABLE, columns=["number"])["number"]).as_py() or 0)


def _lines(lake: Lake, where: str | None) -> list[Line]:
    return [Line(**row) for row in lake.read(TABLE, where=where).sort_by("number").to_pylist()]


def _unnumbered(lake: Lake, where: str | None = None) -> list[Line]:
    """The lines of a lake before version 3, as the chain begins with them."""
    rows = lake.read(UNNUMBERED).to_pylist()
    numbered: list[Line] = []
    for row in sorted(rows, key=lambda row: (row["at"], row["key"])):
        previous = numbered[-1].hash if numbered else ""
        fields = (row["key"], row["kind"], row["body"], row["at"])
        numbered.append(_sealed(len(numbered) + 1, *fields, previous))
    if where is None or not numbered:
        return numbered
    wanted = set(lake.read(UNNUMBERED, columns=["key"], where=where)["key"].to_pylist())
    return [line for line in numbered if line.key in wanted]


def _sealed(number: int, key: str, kind: str, body: str, at: datetime, previous: str) -> Line:
    line = Line(number=number, key=key, kind=kind, body=body, at=at, previous=previous, hash="")
    return Line(**{**asdict(line), "hash": line.digest})


def _add(lake: Lake, new: Sequence[Line]) -> int:
    rows = pa.Table.from_pylist([asdict(line) for line in new], SCHEMAS[TABLE])
    return lake.add(TABLE, rows)
