"""What a site's limits make of a model's answers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuro.evaluation.evaluate import Evaluation
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.promotion import acceptance
from neuro.promotion.acceptance import FEW, KIND, MET, MISSED, Judged, Site
from neuro.promotion.site_limits import Bound, SiteLimit, SiteLimits
from tests.neuro.evaluation.answers import evaluation

NOW = datetime(2026, 11, 29, tzinfo=UTC)
SITE = Site(problem="brain", name="ward 3", images="a" * 64)


def limit(figure: str, value: float, bound: Bound = "least") -> SiteLimit:
    return SiteLimit(figure=figure, bound=bound, limit=value)


def limits(*each: SiteLimit, sha256: str = "1") -> SiteLimits:
    return SiteLimits(limits=each, text="", sha256=sha256, origin="")


def answers(n: int, wrong: int = 0, *, p: float = 0.9, classes: int = 2) -> Evaluation:
    """n samples, each a group, of which so many are wrong; the classes in turn."""
    targets = np.arange(n) % classes
    called = targets.copy()
    called[:wrong] = (called[:wrong] + 1) % classes
    probabilities = np.full((n, classes), (1 - p) / (classes - 1))
    probabilities[np.arange(n), called] = p
    sets = np.eye(classes, dtype=bool)[called]
    return evaluation(probabilities, targets.tolist(), sets=sets, ood_scores=[0.5] * n)


def judged(found: Evaluation, one: SiteLimit) -> Judged:
    return acceptance.judge(found, limits(one))[0]


@pytest.mark.parametrize(
    ("one", "groups"),
    [
        (limit("accuracy", 0.9), 36),  # 0.025 ** (1 / 36) is 0.9026, 0.025 ** (1 / 35) 0.8999
        (limit("recall_a", 0.98), 183),
        (limit("accuracy", 0.1), 10),
        (limit("wrong_of_answered", 0.1, "most"), 36),
        (limit("log_loss", 0.5, "most"), 10),
    ],
)
def test_so_many_groups_without_an_error_could_show_a_limit(one: SiteLimit, groups: int) -> None:
    assert acceptance.fewest(one) == groups


@pytest.mark.parametrize(("n", "outcome", "needed"), [(36, MET, None), (35, FEW, 36)])
def test_without_an_error_a_limit_is_met_from_the_number_of_groups_that_show_it(
    n: int, outcome: str, needed: int | None
) -> None:
    for one in (limit("accuracy", 0.9), limit("wrong_of_answered", 0.1, "most")):
        found = judged(answers(n), one)
        assert (found.outcome, found.needed, found.passed) == (outcome, needed, outcome == MET)


def test_ten_groups_are_the_fewest_also_for_a_low_limit() -> None:
    assert judged(answers(9), limit("accuracy", 0.3)).outcome == FEW
    assert judged(answers(10), limit("accuracy", 0.3)).outcome == MET


def test_what_is_wholly_below_is_missed_however_few_the_groups_are() -> None:
    assert judged(answers(8, wrong=8), limit("accuracy", 0.9)).outcome == MISSED
    assert judged(answers(8, wrong=1), limit("accuracy", 0.9)).outcome == FEW


def test_a_value_below_its_limit_is_missed_where_there_are_groups_enough() -> None:
    found = judged(answers(100, wrong=12), limit("accuracy", 0.9))
    assert found.metric is not None
    assert found.metric.high > 0.9
    assert (found.outcome, found.needed) == (MISSED, None)


def test_a_value_that_keeps_a_limit_by_too_little_says_how_many_groups_would_show_it() -> None:
    """And so many more of the same do."""
    one = limit("accuracy", 0.85)
    found = judged(answers(100, wrong=10), one)
    assert found.outcome == FEW
    assert found.needed is not None
    assert 150 < found.needed < 250
    n = 10 * -(-found.needed // 10)
    assert judged(answers(n, wrong=n // 10), one).outcome == MET
    assert judged(answers(n - 30, wrong=n // 10 - 3), one).outcome == FEW


def test_a_value_at_its_very_limit_names_no_number() -> None:
    found = judged(answers(100, wrong=10), limit("accuracy", 0.9))
    assert (found.outcome, found.needed) == (FEW, None)


def test_a_loss_is_judged_by_its_high_end() -> None:
    found = answers(100, wrong=10)
    loss = found.metric("log_loss")
    assert loss is not None
    middle = (loss.value + loss.high) / 2
    assert judged(found, limit("log_loss", loss.high + 0.01, "most")).outcome == MET
    assert judged(found, limit("log_loss", middle, "most")).outcome == FEW
    assert judged(found, limit("log_loss", loss.low - 0.01, "most")).outcome == MISSED


def of_classes(targets: Sequence[int], k: int) -> Evaluation:
    return evaluation(np.eye(k)[list(targets)] * 0.9 + 0.1 / k, targets)


def test_a_mean_over_classes_stands_on_the_groups_of_the_rarest() -> None:
    found = judged(of_classes([0] * 100 + [1] * 12, 2), limit("macro_f1", 0.8))
    assert (found.groups, found.outcome, found.needed) == (12, FEW, 17)
    assert judged(of_classes([0] * 100 + [1] * 17, 2), limit("macro_f1", 0.8)).outcome == MET


def test_of_a_class_without_an_image_nothing_is_shown() -> None:
    without_c = of_classes([0] * 50 + [1] * 50, 3)
    absent = judged(without_c, limit("recall_c", 0.8))
    assert (absent.metric, absent.groups, absent.outcome, absent.needed) == (None, 0, FEW, 17)
    assert judged(without_c, limit("macro_f1", 0.8)).outcome == FEW
    assert judged(without_c, limit("accuracy", 0.8)).outcome == MET


def test_an_area_whose_interval_may_be_too_narrow_needs_forty_groups() -> None:
    few = judged(of_classes([0] * 100 + [1] * 30, 2), limit("auroc", 0.8))
    assert (few.outcome, few.needed) == (FEW, 40)
    assert judged(of_classes([0] * 100 + [1] * 40, 2), limit("auroc", 0.8)).outcome == MET


def test_a_model_that_answers_nothing_meets_no_limit_of_its_answers() -> None:
    n = 100
    never = evaluation(
        np.full((n, 2), 0.5),
        [0, 1] * 50,
        sets=np.ones((n, 2), dtype=bool),
        ood_scores=[0.5] * n,
    )
    assert judged(never, limit("wrong_of_answered", 0.1, "most")).outcome == FEW
    assert judged(never, limit("answered", 0.5)).outcome == MISSED


def test_plain_values_hold_what_the_contract_names() -> None:
    told = judged(answers(100, wrong=2), limit("accuracy", 0.9)).as_dict()
    assert told["passed"] is True
    assert told.keys() >= {"name", "value", "low", "limit", "passed"}
    assert (told["name"], told["value"], told["limit"]) == ("accuracy", 0.98, 0.9)


def recorded(lake: Lake, sha256: str, site: Site = SITE, days: int = 0, **asked: str) -> None:
    body: dict[str, Any] = {"problem": site.problem, "site": site.name, "images": site.images}
    body |= {"limits_sha256": sha256, "who": "ada", "asked": asked}
    key = f"{site.name}/{sha256}/{days}"
    assert journal.record(lake, KIND, key, body, NOW + timedelta(days=days))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_other_limits_of_the_same_site_are_told_once_each_with_what_changed(lake: Lake) -> None:
    recorded(lake, "old", accuracy="at least 0.9", auroc="at least 0.8")
    recorded(lake, "old", days=1, accuracy="at least 0.9", auroc="at least 0.8")
    recorded(lake, "1", days=2, accuracy="at least 0.85")
    (found,) = acceptance.earlier(lake, SITE, limits(limit("accuracy", 0.85)))
    assert (found.at, found.who, found.sha256) == (NOW, "ada", "old")
    assert found.differences == (
        "accuracy: at least 0.9 before, at least 0.85 now",
        "auroc: at least 0.8 before, no limit now",
    )


@pytest.mark.parametrize(
    ("other", "is_told"),
    [
        (Site(problem="brain", name="ward 3", images="b" * 64), True),  # more of its images
        (Site(problem="brain", name="renamed", images="a" * 64), True),  # the same images
        (Site(problem="brain", name="renamed", images="b" * 64), False),
        (Site(problem="chest", name="ward 3", images="a" * 64), False),
    ],
)
def test_a_site_is_known_by_its_name_or_its_images(
    lake: Lake, other: Site, *, is_told: bool
) -> None:
    recorded(lake, "old", other, accuracy="at least 0.9")
    found = acceptance.earlier(lake, SITE, limits(limit("accuracy", 0.85)))
    assert bool(found) is is_told


def test_limits_in_other_words_differ_in_nothing(lake: Lake) -> None:
    recorded(lake, "old", accuracy="at least 0.85")
    (found,) = acceptance.earlier(lake, SITE, limits(limit("accuracy", 0.85)))
    assert found.differences == ()
