from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from monitoring import windows
from monitoring.windows import Observed
from neuro.errors import ConfigError


def observed(**changes: np.ndarray) -> Observed:
    facts = {
        "groups": np.array(["g", "g", "h"]),
        "descriptors": np.zeros((3, 2)),
        "features": np.zeros((3, 2)),
        "probabilities": np.full((3, 2), 0.5),
        "confidence": np.full(3, 0.5),
        "correct": np.array([1.0, np.nan, 0.0]),
    }
    return Observed(**(facts | changes))


def test_labelled_keeps_the_samples_whose_label_is_known() -> None:
    known = observed().labelled()
    assert known.groups.tolist() == ["g", "h"]
    assert known.correct.tolist() == [1.0, 0.0]


def test_groups_are_counted_once() -> None:
    assert (observed().n, observed().n_groups) == (3, 2)


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(ConfigError, match="'groups': 2"):
        observed(groups=np.array(["g", "h"]))


def test_a_descriptor_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ConfigError, match="descriptors: 1 of 3 rows"):
        observed(descriptors=np.array([[0, 0], [0, np.nan], [0, 0]]))


def test_the_reference_is_never_train_and_never_test() -> None:
    splits = np.array(["train", "val", "test", "calibration", "none"])
    assert windows.held_out(splits).tolist() == [1, 3]


def test_a_delivery_is_the_samples_that_entered_with_its_release() -> None:
    assert windows.entered_with(np.array(["r1", "r2", "r1"]), "r1").tolist() == [0, 2]


def test_an_unknown_delivery_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"'r3'; known: r1, r2"):
        windows.entered_with(np.array(["r1", "r2", "r1"]), "r3")


def test_recent_excludes_its_start_and_the_future() -> None:
    now = datetime(2026, 11, 21, 6, tzinfo=UTC)
    ages_days = [7.0, 6.99, 0.0, -0.01]
    stamps = [now.replace(tzinfo=None) - timedelta(days=age) for age in ages_days]
    rows = windows.recent(np.array(stamps, "datetime64[us]"), now=now, days=7)
    assert rows.tolist() == [1, 2]


def test_recent_reads_now_in_its_own_time_zone() -> None:
    stamps = np.array(["2026-11-21T05:30", "2026-11-21T06:30"], "datetime64[us]")
    now = datetime(2026, 11, 21, 8, tzinfo=timezone(timedelta(hours=2)))  # 06:00 UTC
    assert windows.recent(stamps, now=now, days=1).tolist() == [0]


def test_recent_refuses_a_time_without_zone() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        windows.recent(np.array([], "datetime64[us]"), now=datetime(2026, 1, 1), days=7)  # noqa: DTZ001


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_window_of_no_number_of_days_is_refused(days: float) -> None:
    stamps = np.array([], "datetime64[us]")
    with pytest.raises(ConfigError, match="days must be above 0 and at most 36500"):
        windows.recent(stamps, now=datetime(2026, 1, 1, tzinfo=UTC), days=days)
