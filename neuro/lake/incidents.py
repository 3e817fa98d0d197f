"""Incidents: what people say went wrong with an answer, who looks after it, and how it ended.

All of it stands in the journal: the report, each change of the owner, and one end.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.errors import ConfigError, UnknownNameError
from neuro.lake import journal
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake

INCIDENT, ASSIGNMENT, CLOSURE = "incident", "incident owner", "incident end"  # kinds of lines
SHORTEST = 4  # letters by which an incident is named


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a person says of an answer. prediction: what was answered, plain JSON, {} if unknown."""

    problem: str
    sample_id: str
    who: str
    reason: str
    version: str
    package: str
    prediction: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """A report and what became of it. owner: who looks after it, "" for nobody yet.

    ended_at: None while it is open; ended_by and outcome say who ended it, and how.
    """

    id: str
    report: Report
    at: datetime
    owner: str = ""
    ended_at: datetime | None = None
    ended_by: str = ""
    outcome: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has no end yet."""
        return self.ended_at is None


def report(lake: Lake, said: Report, now: datetime) -> tuple[str, bool]:
    """Write a report down; returns its id, and False where it stands there already and is open.

    The same person saying the same of the same version is one incident until it has ended.
    """
    text = f"{said.sample_id}/{said.who}/{said.version}/{said.reason}"
    beginning = f"{said.problem}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    body = {name: getattr(said, name) for name in Report.__dataclass_fields__}
    number = 1
    while True:
        key = beginning if number == 1 else f"{beginning}-{number}"
        if journal.record(lake, INCIDENT, key, body, now):
            return key, True
        if journal.get(lake, CLOSURE, key) is None:
            return key, False
        number += 1


def all_of(lake: Lake, problem: str = "") -> list[Incident]:
    """Every incident of a problem, "" for all, in the order they were reported."""
    owners: dict[str, Entry] = {}
    ends: dict[str, Entry] = {}
    found = defaultdict(list)
    for entry in journal.entries(lake, INCIDENT, ASSIGNMENT, CLOSURE):
        found[entry.kind].append(entry)
    for entry in found[ASSIGNMENT]:
        owners[entry.body["incident"]] = entry
    for entry in found[CLOSURE]:
        ends[entry.body["incident"]] = entry
    return [
        _incident(entry, owners.get(_id(entry)), ends.get(_id(entry)))
        for entry in found[INCIDENT]
        if problem in ("", entry.body["problem"])
    ]


def find(lake: Lake, name: str) -> Incident:
    """One by its id, or by the beginning of the digits in it. Raises UnknownNameError."""
    every = all_of(lake)
    near = [
        each
        for each in every
        if each.id == name
        or (len(name) >= SHORTEST and each.id.rpartition("/")[2].startswith(name))
    ]
    if len(near) != 1:
        what = "several incidents begin" if near else "no incident begins"
        raise UnknownNameError(f"{what} with {name!r}; `neuro incidents list` lists them")
    return near[0]


def assign(lake: Lake, name: str, owner: str, who: str, now: datetime) -> Incident:
    """Say who looks after an incident. Raises ConfigError for one that has ended."""
    found = _open(lake, name)
    if not owner.strip():
        raise ConfigError("an incident needs an owner; name a person")
    if found.owner == owner:
        return found
    body = {"incident": found.id, "problem": found.report.problem, "owner": owner, "who": who}
    number = 1
    while not journal.record(lake, ASSIGNMENT, f"{found.id}/{number}", body, now):
        number += 1  # taken by an earlier change
    return find(lake, found.id)


def close(lake: Lake, name: str, outcome: str, who: str, now: datetime) -> Incident:
    """End an incident, once. Raises ConfigError without an outcome, and for one that has ended."""
    found = _open(lake, name)
    if not outcome.strip():
        raise ConfigError("an incident ends with an outcome: say what was found, and done")
    body = {"incident": found.id, "problem": found.report.problem, "who": who, "reason": outcome}
    if not journal.record(lake, CLOSURE, found.id, body, now):
        _open(lake, name)  # another was first, and says who
    return find(lake, found.id)


def _open(lake: Lake, name: str) -> Incident:
    found = find(lake, name)
    if not found.is_open:
        raise ConfigError(f"incident {found.id} was ended by {found.ended_by}: {found.outcome}")
    return found


def _incident(entry: Entry, owner: Entry | None, end: Entry | None) -> Incident:
    body = {"prediction": {}} | entry.body  # of a version that attached none
    return Incident(
        id=_id(entry),
        report=Report(**{name: body[name] for name in Report.__dataclass_fields__}),
        at=entry.at,
        owner=owner.body["owner"] if owner else "",
        ended_at=end.at if end else None,
        ended_by=end.body["who"] if end else "",
        outcome=end.body["reason"] if end else "",
    )


def _id(entry: Entry) -> str:
    return entry.key.removeprefix(f"{INCIDENT}/")
