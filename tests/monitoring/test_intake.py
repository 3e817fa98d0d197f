"""Counts of a window beside those of harmless windows before."""

import numpy as np
import pytest

from monitoring import intake
from monitoring.intake import Counted, Intake
from monitoring.signals import Signal
from neuro.promotion.drift_policy import DriftPolicy


def week(images: int, refused: int = 2) -> Intake:
    return Intake(days=7.0, images=images, refused=refused)


USUAL = [week(images) for images in (190, 205, 210, 198, 202, 195, 207, 200)]


def found(now: Intake, before: list[Intake] = USUAL) -> Signal:
    signal = intake.signal(now, before, DriftPolicy())
    assert signal is not None
    return signal


@pytest.mark.parametrize(
    ("now", "alarms"),
    [
        (week(185), False),
        (week(100), True),
        (week(420), True),
        (week(200, refused=5), False),
        (week(200, refused=40), True),
        (week(200, refused=0), False),
        (Intake(days=1.0, images=29, refused=0), False),
    ],
)
def test_few_or_many_images_and_many_refused_are_unusual(now: Intake, alarms: bool) -> None:
    assert found(now).alarm is alarms


def test_seven_weeks_tell_nothing() -> None:
    assert intake.signal(week(1), USUAL[:7], DriftPolicy()) is None


def test_weeks_that_never_differed_do_not_make_a_single_file_unusual() -> None:
    same = [week(200, refused=0)] * 12
    assert not found(week(202, refused=1), same).alarm


def test_the_last_half_year_counts() -> None:
    assert found(week(100), [week(100)] * 26 + [week(5)] * 26).statistic == pytest.approx(0)


def test_a_usual_week_alarms_as_rarely_as_asked() -> None:
    rng = np.random.default_rng(0)
    policy = DriftPolicy(alpha=0.3, trials=1000)
    counts = rng.lognormal(5.3, 0.4, (2000, 11)).astype(int)
    alarms = []
    for row in counts.tolist():
        signal = intake.signal(week(row[0], 0), [week(n, 0) for n in row[1:]], policy)
        alarms.append(signal is not None and signal.alarm)
    # Two of three tails: nothing is refused here.
    assert np.mean(alarms) == pytest.approx(policy.chance * 2 / 3, abs=0.01)


def test_a_usual_share_of_refused_files_alarms_as_rarely_as_asked() -> None:
    rng = np.random.default_rng(0)
    policy = DriftPolicy(alpha=0.3, trials=1000)
    refused = rng.binomial(200, rng.beta(20, 180, (2000, 11)))
    alarms = []
    for row in refused.tolist():
        signal = intake.signal(week(200, row[0]), [week(200, n) for n in row[1:]], policy)
        alarms.append(signal is not None and signal.alarm)
    assert np.mean(alarms) == pytest.approx(policy.chance / 3, abs=0.01)


def test_a_week_without_an_image_is_unusual_and_an_error_to_nobody() -> None:
    assert found(week(0, 0)).alarm


def test_an_unusual_week_teaches_nothing_and_eight_in_a_row_are_usual() -> None:
    usual = [Counted(came=each, was_unusual=False) for each in USUAL]
    odd = Counted(came=week(20), was_unusual=True)
    assert intake.learnt([odd, *usual]) == USUAL
    assert intake.learnt([*[odd] * 7, *usual]) == USUAL
    assert intake.learnt([*[odd] * 8, *usual]) == [week(20)] * 8


def test_what_is_unusual_is_said_in_numbers() -> None:
    said = found(week(100, refused=25)).explanation
    assert "14.3 images a day, in 8 harmless windows before 27.1 to 30.0" in said
    assert "20.0% of the files refused, before 0.9% to 1.0%" in said
