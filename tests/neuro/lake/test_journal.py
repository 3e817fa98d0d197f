from datetime import datetime, timedelta

import pytest

from neuro.errors import UnknownNameError
from neuro.ingest import originals
from neuro.lake import journal, quarantine, tombstones
from neuro.lake.lake import Lake
from neuro.promotion import claims, serving


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


def test_entries_of_a_kind_come_oldest_first(lake: Lake, now: datetime) -> None:
    for day in (2, 0, 1):
        journal.record(lake, "verdict", f"{day}", {"day": day}, now + timedelta(days=day))
    journal.record(lake, "claim", "x", {}, now)
    assert [entry.body["day"] for entry in journal.entries(lake, "verdict")] == [0, 1, 2]


def test_an_unknown_kind_is_refused_with_a_near_one(lake: Lake) -> None:
    with pytest.raises(UnknownNameError, match="'verdicts': did you mean 'verdict'"):
        journal.entries(lake, "claim", "verdicts")


def test_every_kind_that_is_recorded_can_be_listed() -> None:
    recorded = {claims.CLAIM, claims.FAILED, quarantine.KIND, originals.KIND}
    recorded |= {tombstones.KIND, tombstones.LIFT, serving.ROLLBACK, "look", "verdict", "decision"}
    assert set(journal.KINDS) == recorded
