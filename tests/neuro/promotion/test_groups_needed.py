"""How many groups a proof takes."""

from dataclasses import replace

import pytest

from neuro.evaluation.metrics import PairedDifference
from neuro.promotion import groups_needed

# Of 100 groups, a standard error of 2 points.
SEEN = PairedDifference(name="macro_f1", value=0.0, spread=0.02, stands_on=100, n=200, groups=100)


def test_it_is_the_textbook_s_number() -> None:
    """(1.960 + 1.282)^2 x 0.2^2 / 0.05^2 is 168.1, and Student's t asks for two or three more."""
    found = groups_needed.of(SEEN, 0.05, 0.025)
    assert found.there == 100
    assert 168 <= found.equal <= 172
    assert 66 <= found.better_by_3_points <= 69  # 65.7, for 8 points


def test_less_error_takes_more_groups() -> None:
    """At the tenth look (3.317 + 1.282)^2 x 16 is 338.4."""
    assert 338 <= groups_needed.of(SEEN, 0.05, 0.05 / 110).equal <= 347


def test_a_rare_class_takes_more_groups() -> None:
    """It has a twentieth of them, so that there are few to say how far t reaches."""
    rare = replace(SEEN, stands_on=5)
    assert groups_needed.of(rare, 0.05, 0.025).equal > 150


def test_two_that_agree_need_what_their_interval_needs() -> None:
    """0.95^72 is the first power below a 40th."""
    agree = replace(SEEN, spread=0.0)
    assert groups_needed.of(agree, 0.05, 0.025).equal == pytest.approx(72)


@pytest.mark.parametrize(("floor", "groups"), [(0.7, 22), (0.8, 35), (0.9, 73)])
def test_a_floor_takes_the_textbook_s_number(floor: float, groups: int) -> None:
    """Of 0.8: (1.960 x 0.3)^2 / 0.1^2 is 34.6, for a recall of 0.9."""
    assert groups_needed.of_floor(floor) == groups


def test_a_floor_of_one_is_shown_by_no_number_of_groups() -> None:
    assert groups_needed.of_floor(1.0) == groups_needed.MOST
