"""The work list: images that wait for readers, and what each reader said of them.

A reader says what an image shows before anything else about it is shown (the first read), and once
more after that (the final read). As many final reads as an item asks for decide it where they
agree; where they differ, a further person adjudicates. Nothing is ever changed: each read is a row
of its own, numbered create-only, so that of two persons at once one comes second.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from neuro.errors import ConfigError, StorageError, UnknownNameError
from neuro.lake import erasure, labels
from neuro.lake.labels import Annotation
from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS

ITEMS, READS = "work_items", "reads"  # tables
FIRST, FINAL, ADJUDICATED = "first", "final", "adjudicated"  # steps
UNCERTAIN, SUSPECT, GIVEN, AUDIT = "uncertain", "suspect", "given label", "audit"  # sources
MOST_NOTE = 2000  # letters
CANNOT_TELL = ""  # as a label

_OPEN, _DISPUTED, _DECIDED = "open", "disputed", "decided"


class WorkKey(NamedTuple):
    """Names an item. round: from 0; an image that comes again after a decision has the next."""

    problem: str
    sha256: str
    round: int = 0

    @property
    def run_id(self) -> str:
        """The run by which its decided label is written."""
        text = f"{self.problem}/{self.sha256}/{self.round}"
        return f"review-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """An image that waits for readers.

    source: by what it came here; why: a sentence that says more, and that nobody sees before the
    own first read. readers: how many final reads decide it. rank: the lowest is read first.
    """

    key: WorkKey
    dataset: str
    source: str
    why: str
    added_at: datetime
    readers: int = 1
    rank: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.readers <= 2:
            raise ConfigError(f"readers must be 1 or 2, got {self.readers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """What a person said. label: a source label, CANNOT_TELL for none.

    shown: what was shown to the person before it was said, nothing for a first read.
    """

    who: str
    step: str
    label: str
    at: datetime
    note: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An item and all reads of it, in the order they were stored."""

    item: WorkItem
    reads: tuple[Read, ...] = ()

    def by(self, who: str, step: str) -> Read | None:
        """What a person said at a step."""
        own = (read for read in self.reads if (read.who, read.step) == (who, step))
        return next(own, None)

    @property
    def finals(self) -> tuple[Read, ...]:
        """The final reads that count: the first ones, as many as the item asks for."""
        said = [read for read in self.reads if read.step == FINAL]
        return tuple(said[: self.item.readers])

    @property
    def deciding(self) -> tuple[Read, ...]:
        """The reads that decide it; none while it is open or disputed."""
        judged = tuple(read for read in self.reads if read.step == ADJUDICATED)[:1]
        finals = self.finals
        is_agreed = len(finals) == self.item.readers and len({each.label for each in finals}) == 1
        return judged or (finals if is_agreed else ())

    @property
    def status(self) -> str:
        """Open, disputed or decided."""
        if self.deciding:
            return _DECIDED
        return _DISPUTED if len(self.finals) == self.item.readers else _OPEN

    @property
    def is_decided(self) -> bool:
        """Whether nobody is needed any more."""
        return self.status == _DECIDED

    @property
    def is_disputed(self) -> bool:
        """Whether a further person has to decide."""
        return self.status == _DISPUTED

    @property
    def decision(self) -> Annotation | None:
        """The label, who decided it and when; CANNOT_TELL where they could not."""
        deciding = self.deciding
        if not deciding:
            return None
        who = ", ".join(sorted(read.who for read in deciding))
        at = max(read.at for read in deciding)
        return Annotation(label=deciding[0].label, who=who, at=at)

    def waits_for(self, who: str, *, adjudicates: bool) -> bool:
        """Whether a person is needed. adjudicates: the person may settle what readers dispute."""
        if self.is_disputed:
            return adjudicates and all(read.who != who for read in self.finals)
        return not self.is_decided and self.by(who, FINAL) is None


def add(lake: Lake, items: Sequence[WorkItem]) -> int:
    """Append the items whose image does not wait already; returns how many that were.

    The round of each is found here. Raises StaleError while an erasure is under way.
    """
    erasure.require_none(lake)
    new = []
    for problem in {item.key.problem for item in items}:
        known: dict[str, list[Reading]] = defaultdict(list)
        for each in readings(lake, problem):
            known[each.item.key.sha256].append(each)
        for item in items:
            earlier = known[item.key.sha256]
            if item.key.problem == problem and all(each.is_decided for each in earlier):
                new.append(replace(item, key=item.key._replace(round=len(earlier))))
    rows = [_flat(item) for item in new]
    return lake.add(ITEMS, pa.Table.from_pylist(rows, SCHEMAS[ITEMS]))


def readings(lake: Lake, problem: str) -> list[Reading]:
    """Every item of a problem with its reads, in the order in which they should be read."""
    where = f"problem = {quoted(problem)}"
    reads: dict[WorkKey, list[Read]] = defaultdict(list)
    for row in lake.read(READS, where=where).sort_by("sequence").to_pylist():
        reads[_key(row)].append(_read(row))
    items = [_item(row) for row in lake.read(ITEMS, where=where).to_pylist()]
    items.sort(key=lambda item: (item.rank, item.added_at, item.key))
    return [Reading(item=item, reads=tuple(reads[item.key])) for item in items]


def problems_of(lake: Lake, dataset: str) -> set[str]:
    """The problems whose items show images of a dataset."""
    where = f"dataset = {quoted(dataset)}"
    return set(lake.read(ITEMS, columns=["problem"], where=where)["problem"].to_pylist())


def find(lake: Lake, key: WorkKey) -> Reading:
    """One item. Raises UnknownNameError where it is not on the list, as after an erasure.

    StorageError where there is no list: a lake that is away is no erasure.
    """
    rows = lake.read(ITEMS, where=_where(key)).to_pylist()
    if not rows:
        if not lake.has(ITEMS):
            raise StorageError(f"the work list of {lake.uri} is not there; is its disk mounted?")
        raise UnknownNameError(
            f"image {key.sha256[:12]} is not on the work list of {key.problem} (any more); "
            "`neuro worklist list` has those that are"
        )
    reads = lake.read(READS, where=_where(key)).sort_by("sequence").to_pylist()
    return Reading(item=_item(rows[0]), reads=tuple(map(_read, reads)))


def record(lake: Lake, key: WorkKey, read: Read) -> Reading:
    """Store a read, and the label where it decides; returns the item as it is then.

    What a person has said at a step stays: the same person saying it again, or something else,
    changes nothing. Raises ConfigError for a step out of order, UnknownNameError for an item that
    is gone, StaleError while an erasure is under way.
    """
    require_short(read.note)
    erasure.require_none(lake)
    while True:
        reading = find(lake, key)
        if reading.by(read.who, read.step) is not None:
            break
        _require_order(reading, read)
        row = {
            **key._asdict(),
            **asdict(read),
            "sequence": len(reading.reads),
            "shown": json.dumps(read.shown, sort_keys=True) if read.shown else "",
        }
        if lake.add(READS, pa.Table.from_pylist([row], SCHEMAS[READS])):
            reading = find(lake, key)
            break  # else another read took the number
    settle(lake, [reading])
    return reading


def require_short(note: str) -> None:
    """Raise ConfigError for a note that is too long."""
    if len(note) > MOST_NOTE:
        raise ConfigError(f"a note has at most {MOST_NOTE} letters, got {len(note)}")


def settle(lake: Lake, every: Collection[Reading]) -> int:
    """Write the labels of decided items that a killed process has not written; returns how many."""
    decided = {each.item.key.run_id: each for each in every if each.is_decided}
    if len(decided) > 1:  # many, most of them written long ago
        known = lake.read("labels", columns=["run_id"])["run_id"].unique().to_pylist()
        decided = {run: each for run, each in decided.items() if run not in set(known)}
    written = 0
    for run_id, each in decided.items():
        decision, item = each.decision, each.item
        if decision is not None and decision.label != CANNOT_TELL:
            sample_id = item.key.sha256
            written += labels.add_reviewed(lake, item.dataset, sample_id, decision, run_id)
    return written


def _require_order(reading: Reading, read: Read) -> None:
    decided = reading.decision
    if read.step == FIRST and decided:  # the answer is no secret any more: it would not be blind
        raise ConfigError(f"{decided.who} decided this one meanwhile; your read was not stored")
    if read.step == FINAL and reading.by(read.who, FIRST) is None:
        raise ConfigError("a final read follows the own first read; give that first")
    if read.step == ADJUDICATED and not reading.waits_for(read.who, adjudicates=True):
        raise ConfigError("this image waits for no adjudication by you")
    if read.step == ADJUDICATED and not reading.is_disputed:
        raise ConfigError("the readers of this image do not disagree; read it as they do")
    if read.step not in (FIRST, FINAL, ADJUDICATED):
        raise ConfigError(f"a read is first, final or adjudicated, got {read.step!r}")


def _where(key: WorkKey) -> str:
    named = f"problem = {quoted(key.problem)} AND sha256 = {quoted(key.sha256)}"
    return f"{named} AND round = {int(key.round)}"


def _key(row: Mapping[str, Any]) -> WorkKey:
    return WorkKey(*(row[name] for name in WorkKey._fields))


def _flat(item: WorkItem) -> dict[str, Any]:
    row = {each.name: getattr(item, each.name) for each in fields(item) if each.name != "key"}
    return item.key._asdict() | row


def _item(row: Mapping[str, Any]) -> WorkItem:
    plain = {each.name: row[each.name] for each in fields(WorkItem) if each.name != "key"}
    return WorkItem(key=_key(row), **plain)


def _read(row: Mapping[str, Any]) -> Read:
    plain = {name: row[name] for name in ("who", "step", "label", "note", "at")}
    return Read(**plain, shown=json.loads(row["shown"]) if row["shown"] else {})
