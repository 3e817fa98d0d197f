from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from neuro.errors import UnknownNameError
from neuro.ingest import originals
from neuro.lake import incidents, journal, quarantine, tombstones
from neuro.lake.journal import Head, Line
from neuro.lake.lake import Lake
from neuro.lake.table_schemas import SCHEMAS
from neuro.promotion import acceptance, claims, serving, verdict_log
from tests.fixtures import lakes


def test_a_cause_is_claimed_once(lake: Lake, now: datetime) -> None:
    assert journal.record(lake, "claim", "verdict/1", {"by": "first"}, now) is True
    assert journal.record(Lake(lake.uri), "claim", "verdict/1", {"by": "second"}, now) is False
    entry = journal.get(lake, "claim", "verdict/1")
    assert entry is not None
    assert (entry.body, entry.at) == ({"by": "first"}, now)


def test_the_same_key_of_another_kind_is_free(lake: Lake, now: datetime) -> None:
    assert journal.record(lake, "claim", "1", {}, now)
    assert journal.record(lake, "verdict", "1", {}, now)


def test_a_key_nobody_wrote_is_none(lake: Lake) -> None:
    assert journal.get(lake, "claim", "it's") is None


def test_entries_come_in_the_order_they_were_written_whatever_the_clocks_said(
    lake: Lake, now: datetime
) -> None:
    for day in (2, 0, 1):
        journal.record(lake, "verdict", f"{day}", {"day": day}, now + timedelta(days=day))
    journal.record(lake, "claim", "x", {}, now)
    assert [entry.body["day"] for entry in journal.entries(lake, "verdict")] == [2, 0, 1]
    assert [entry.number for entry in journal.entries(lake)] == [1, 2, 3, 4]


def test_an_unknown_kind_is_refused_with_a_near_one(lake: Lake) -> None:
    with pytest.raises(UnknownNameError, match="'verdicts': did you mean 'verdict'"):
        journal.entries(lake, "claim", "verdicts")


def test_every_kind_that_is_recorded_can_be_listed() -> None:
    recorded = {claims.CLAIM, claims.FAILED, quarantine.KIND, originals.KIND}
    recorded |= {tombstones.KIND, tombstones.LIFT, serving.ROLLBACK, acceptance.KIND}
    recorded |= {verdict_log.VERDICT, verdict_log.RESPONSE}
    recorded |= {"look", "decision", "approval", "alias", "lock"}
    recorded |= {incidents.INCIDENT, incidents.ASSIGNMENT, incidents.CLOSURE}
    assert set(journal.KINDS) == recorded


def written(lake: Lake, n: int) -> list[Line]:
    """A journal of n lines, as they are stored."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(n):
        journal.record(lake, "look", f"{number}", {"n": number}, start + timedelta(hours=number))
    return journal.lines(lake)


def damaged(lines: list[Line], *heads: Head) -> list[int]:
    return [each.number for each in journal.check(lines, heads)]


def test_lines_have_numbers_without_a_gap_and_the_hash_of_the_line_before(lake: Lake) -> None:
    lines = written(lake, 5)
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert [line.previous for line in lines] == ["", *(line.hash for line in lines[:-1])]
    assert journal.head(lake) == Head(number=5, hash=lines[-1].hash)
    assert damaged(lines) == []


def test_what_many_write_at_once_is_one_chain(lake: Lake, now: datetime) -> None:
    lake.open(journal.TABLE)
    with ThreadPoolExecutor(6) as pool:
        made = pool.map(
            lambda n: journal.record(Lake(lake.uri), "look", f"{n % 9}", {"n": n}, now), range(18)
        )
    assert sum(made) == 9  # each key once
    lines = journal.lines(lake)
    assert ([line.number for line in lines], damaged(lines)) == ([*range(1, 10)], [])


def test_a_lake_of_before_is_read_as_it_is_and_its_lines_are_the_first_of_the_chain(
    tmp_path: Path, now: datetime
) -> None:
    lake = Lake(lakes.copy_v1(tmp_path))
    before = journal.entries(lake)
    assert not lake.has(journal.TABLE)
    assert before
    assert journal.record(lake, "look", "new", {}, now)
    assert journal.record(lake, "look", "new", {}, now) is False
    assert journal.entries(lake)[:-1] == before
    assert damaged(journal.lines(lake)) == []
    assert journal.record(lake, before[0].kind, before[0].key.split("/", 1)[1], {}, now) is False


def edited(lines: list[Line], at: int, rng: np.random.Generator) -> list[Line]:
    """One field of a line altered."""
    line = lines[at]
    later = line.at + timedelta(seconds=1)
    changed = (
        replace(line, body=line.body + " "),
        replace(line, key=line.key + "x"),
        replace(line, kind="decision"),
        replace(line, at=later),
        replace(line, previous="0" * 64),
        replace(line, hash="0" * 64),
    )
    return [*lines[:at], changed[rng.integers(len(changed))], *lines[at + 1 :]]


def forged(lines: list[Line], at: int, rng: np.random.Generator) -> list[Line]:
    """A line altered, and given the hash that it should have."""
    line = replace(lines[at], body='{"n": -1}')
    return [*lines[:at], replace(line, hash=line.digest), *lines[at + 1 :]]


def dropped(lines: list[Line], at: int, rng: np.random.Generator) -> list[Line]:
    return [*lines[:at], *lines[at + 1 :]]


def swapped(lines: list[Line], at: int, rng: np.random.Generator) -> list[Line]:
    """Two lines with each other's number."""
    other = (at + 1 + int(rng.integers(len(lines) - 1))) % len(lines)
    found = [*lines]
    found[at] = replace(lines[other], number=lines[at].number)
    found[other] = replace(lines[at], number=lines[other].number)
    return found


def duplicated(lines: list[Line], at: int, rng: np.random.Generator) -> list[Line]:
    """A line once more: under its number, or at the end under a number of its own."""
    if rng.random() < 0.5:
        return [*lines, lines[at]]
    last = lines[-1]
    again = replace(lines[at], number=last.number + 1, previous=last.hash)
    return [*lines, replace(again, hash=again.digest)]


def cut(lines: list[Line], at: int, rng: np.random.Generator) -> list[Line]:
    return lines[:at]


Tampering = Callable[[list[Line], int, np.random.Generator], list[Line]]


@pytest.mark.parametrize("tamper", [edited, forged, dropped, swapped, duplicated, cut])
def test_each_of_five_hundred_tampered_journals_is_found(tamper: Tampering) -> None:
    """With the head of the whole journal kept elsewhere."""
    lines: list[Line] = []
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(50):
        previous = lines[-1].hash if lines else ""
        line = Line(
            number=n + 1,
            key=f"look/{n}",
            kind="look",
            body=f'{{"n": {n}}}',
            at=start + timedelta(hours=n),
            previous=previous,
            hash="",
        )
        lines.append(replace(line, hash=line.digest))
    head = Head(number=50, hash=lines[-1].hash)
    assert damaged(lines, head) == []
    rng = np.random.default_rng(0)
    for _ in range(500):
        at = int(rng.integers(50))
        found = damaged(tamper(lines, at, rng), head)
        assert found
        if tamper is edited:
            assert at + 1 in found


def test_a_tail_that_is_cut_off_is_missed_by_the_head_alone(lake: Lake) -> None:
    lines = written(lake, 4)
    kept = journal.head(lake)
    assert damaged(lines[:2]) == []
    assert damaged(lines[:2], kept) == [3, 4]


def test_a_forged_last_line_is_missed_by_the_head_alone(lake: Lake) -> None:
    lines, kept = written(lake, 3), journal.head(lake)
    false = forged(lines, 2, np.random.default_rng())
    assert damaged(false) == []
    assert damaged(false, kept) == [3]


def test_a_line_that_was_altered_in_the_table_itself_is_found(lake: Lake) -> None:
    lines = written(lake, 3)
    rows = [asdict(line) for line in (lines[0], replace(lines[1], body="{}"), lines[2])]
    lance.write_dataset(
        pa.Table.from_pylist(rows, SCHEMAS[journal.TABLE]),
        f"{lake.uri}/{journal.TABLE}.lance",
        mode="overwrite",
    )
    assert damaged(journal.lines(lake)) == [2]
