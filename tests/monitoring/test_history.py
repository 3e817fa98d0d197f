"""How far windows usually are from the reference."""

import numpy as np
import pytest

from monitoring import history
from monitoring.history import NOTHING_USUAL


def windows(*figures: float) -> list[dict[str, float]]:
    return [{"descriptors": figure} for figure in figures]


def test_seven_windows_say_nothing_and_eight_do() -> None:
    assert history.usual(windows(*[1.0] * 7), 0.02) == NOTHING_USUAL
    assert history.usual(windows(*[1.0] * 8), 0.02).windows == 8


@pytest.mark.parametrize("n", [8, 26])
def test_one_more_such_window_is_beyond_the_limit_as_rarely_as_asked(n: int) -> None:
    rng = np.random.default_rng(0)
    found = [history.usual(windows(*week), 0.02) for week in rng.normal(1, 0.2, (4000, n))]
    limits = [each.limits["descriptors"] for each in found]
    beyond = rng.normal(1, 0.2, 4000) > limits
    assert np.mean(beyond) == pytest.approx(0.02, abs=0.007)


def test_the_last_half_year_counts() -> None:
    assert history.usual(windows(*[1.0] * 26, *[2.0] * 26), 0.02).limits == {"descriptors": 1.0}


def test_a_window_that_is_far_off_is_not_learnt_and_none_so_far_is_ever_usual() -> None:
    assert history.usual(windows(*[1.0] * 8, 10.0), 0.02).limits == {"descriptors": 1.0}
    assert history.usual(windows(*[0.1, 2.9] * 6), 0.02).limits == {"descriptors": 3.0}


def test_a_window_without_a_figure_is_no_window() -> None:
    found = history.usual([*windows(*[1.0] * 7), {}], 0.02)
    assert found == NOTHING_USUAL


def test_a_signal_counts_by_the_windows_that_had_it() -> None:
    some = [*windows(*[1.0] * 7), {"features": 2.0}]
    assert history.usual(some, 0.02).limits == {}


def test_what_labels_show_and_lines_of_before_tell_no_distance() -> None:
    stored = [
        {"name": "descriptors", "statistic": 0.3, "threshold": 0.4, "dealt": 0.2},
        {"name": "labelled_accuracy", "statistic": 0.3, "threshold": 0.2, "dealt": None},
        {"name": "classes", "statistic": 0.3, "threshold": 0.2},
    ]
    assert history.distances(stored) == {"descriptors": pytest.approx(1.5)}
