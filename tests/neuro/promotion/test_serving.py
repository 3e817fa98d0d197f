"""Who served when, read from the journal alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.promotion import serving
from neuro.promotion.serving import ROLLBACK

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def promoted(
    lake: Lake, version: str, champion: str, at: float, *, moved: bool = True, f1: float = 0.9
) -> None:
    body = {"problem": "brain", "challenger": version, "champion": champion, "is_promoted": moved}
    body |= {"who": "the envelope", "reason": "all gates passed"}
    body |= {"old_test": {"challenger": [{"name": "macro_f1", "value": f1}]}}
    assert journal.record(lake, "decision", f"brain/{version}/{at}", body, day(at))


def rolled_back(lake: Lake, version: str, previous: str, at: float, problem: str = "brain") -> None:
    body = {"problem": problem, "version": version, "previous": previous}
    body |= {"who": "ada", "reason": "misses pituitary"}
    assert journal.record(lake, ROLLBACK, f"{problem}/{at}", body, day(at))


def test_what_was_not_moved_or_is_of_another_problem_never_served(lake: Lake) -> None:
    promoted(lake, "1", "", 1)
    promoted(lake, "2", "1", 2, moved=False)
    promoted(lake, "c0ffee", "1", 3)  # a package of no registry
    rolled_back(lake, "9", "8", 4, problem="chest")
    assert [change.version for change in serving.changes(lake, "brain")] == ["1"]


def test_before_a_champion_served_the_one_that_it_was_promoted_over(lake: Lake) -> None:
    """Also after a rollback: the one that was left is not gone back to."""
    promoted(lake, "1", "", 1)
    promoted(lake, "2", "1", 2)
    promoted(lake, "3", "2", 3)
    rolled_back(lake, "2", "3", 4)
    changed = serving.changes(lake, "brain")
    assert [serving.before(changed, version) for version in "321"] == ["2", "1", ""]
    assert (changed[-1].version, changed[-1].who, changed[-1].is_rollback) == ("2", "ada", True)


def test_who_served_is_right_for_any_time_of_a_year(lake: Lake) -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 365, 40))
    versions = [""]
    for number, at in enumerate(times.tolist(), 1):
        if number > 3 and rng.random() < 0.3:
            rolled_back(lake, str(rng.integers(1, number)), versions[-1], at)
            versions.append(serving.changes(lake, "brain")[-1].version)
        else:
            promoted(lake, str(number), versions[-1], at)
            versions.append(str(number))
    changed = serving.changes(lake, "brain")
    for asked in rng.uniform(-5, 370, 1000).tolist():
        expected = versions[int(np.searchsorted(times, asked, side="right"))]
        assert serving.serving_at(changed, day(asked)) == expected


def test_the_best_that_served_is_the_one_of_the_highest_figure_unless_it_serves(lake: Lake) -> None:
    for number, f1 in enumerate((0.90, 0.94, 0.93), 1):
        promoted(lake, str(number), str(number - 1), number, f1=f1)
    rolled_back(lake, "1", "3", 9)
    changed = serving.changes(lake, "brain")
    assert [serving.best_but(changed, version) for version in "123"] == ["2", "", "2"]
    assert serving.best_but([], "1") == ""
