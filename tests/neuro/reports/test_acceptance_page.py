"""The sheet of a site's acceptance: verdict, limits, who, when, what; nothing from outside."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuro.evaluation.evaluate import Evaluation
from neuro.promotion import acceptance
from neuro.promotion.acceptance import OtherLimits, Site
from neuro.promotion.site_limits import SiteLimit, SiteLimits
from neuro.reports import acceptance_page, page_paths, render
from neuro.reports.acceptance_page import Told
from neuro.reports.page_paths import ReleasePage
from tests.monitoring.passports import HOSTILE, Reader
from tests.neuro.promotion.test_acceptance import answers

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)
TEXT = "[least]\naccuracy = 0.85\nrecall_a = 0.9\n"


def limits(accuracy: float = 0.85, recall: float = 0.9) -> SiteLimits:
    asked = {"accuracy": accuracy, "recall_a": recall}
    each = [SiteLimit(figure=name, bound="least", limit=least) for name, least in asked.items()]
    return SiteLimits(limits=tuple(each), text=TEXT, sha256="f" * 64, origin="the file l.toml")


TOLD = Told(
    site=Site(problem="brain", name="Ward 3", images="c" * 64),
    images="100 labelled images of folder ward, 3 left out as twins of what the model knows",
    limits=limits(),
    set_at=datetime(2026, 11, 20, tzinfo=UTC),
    others=(),
    who="ada",
    at=NOW,
    package="d" * 64,
    is_synthetic=False,
)


def read(found: Evaluation, told: Told = TOLD) -> Reader:
    return Reader(acceptance_page.build(found, acceptance.judge(found, told.limits), told))


def test_a_model_that_meets_every_limit_is_said_to_in_the_heading() -> None:
    page = read(answers(200, wrong=4))
    assert "This model meets the limits of this site" in page.text
    assert page.text.count("Met") == 2
    assert "Not met" not in page.text
    assert "Not enough groups" not in page.text


def test_what_is_missed_and_what_too_few_show_is_named_with_the_number_that_is_needed() -> None:
    page = read(answers(40, wrong=12), replace(TOLD, limits=limits(accuracy=0.9, recall=0.5)))
    assert "This model does not meet the limits of this site" in page.text
    assert "Not met: Accuracy." in page.text
    assert "Not enough groups to show it: Recall: a" in page.text
    assert "needed" in page.text


def test_it_says_who_when_by_which_model_digest_limits_and_images() -> None:
    text = read(answers(200)).text
    for said in (
        "2026-11-29 08:30 UTC, by ada",
        "0123456789ab, package " + "d" * 64,
        "the file l.toml; written down for this site on 2026-11-20 00:00 UTC",
        "SHA-256 " + "f" * 64,
        "accuracy = 0.85",
        "3 left out as twins of what the model knows",
        "content hash " + "c" * 64,
        render.RESEARCH_USE,
    ):
        assert said in text, said


def test_limits_that_changed_are_told_with_from_what() -> None:
    before = OtherLimits(
        at=datetime(2026, 10, 1, tzinfo=UTC),
        who="bob",
        sha256="e" * 64,
        differences=("accuracy: at least 0.95 before, at least 0.85 now",),
    )
    text = read(answers(200), replace(TOLD, others=(before,))).text
    assert "The limits have changed." in text
    assert "from 2026-10-01 00:00 UTC, by bob" in text
    assert "accuracy: at least 0.95 before, at least 0.85 now" in text
    assert "The limits have changed." not in read(answers(200)).text


def test_a_class_without_an_image_is_named() -> None:
    page = read(answers(60, classes=2).take(answers(60).targets == 0))
    assert "Classes without an image here: b." in page.text


def test_names_of_a_site_are_text_and_the_page_asks_for_nothing() -> None:
    site = replace(TOLD.site, name=HOSTILE)
    given = replace(limits(), text=HOSTILE, origin=HOSTILE)
    page = read(answers(200), replace(TOLD, site=site, who=HOSTILE, images=HOSTILE, limits=given))
    assert page.text.count(HOSTILE) == 5
    assert not page.all("script")
    assert (page.is_whole, page.outside()) == (True, [])


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("accuracy", "Accuracy"),
        ("macro_precision", "Macro precision"),
        ("recall_glioma", "Recall: glioma"),
        ("covered_a_b", "Sets with the true class: a_b"),
        ("wrong_of_answered", "Wrong among the answers"),
    ],
)
def test_a_figure_is_named_in_words(figure: str, words: str) -> None:
    assert acceptance_page.in_words(figure) == words


def test_its_place_is_found_again_by_its_name() -> None:
    home = Path("/home/of/neuro")
    place = ReleasePage(release="brain-0001", problem="brain", accepted="3-aa-bb")
    assert page_paths.named(home, place.path(home)) == place
    assert place.command == "neuro accept DIR --problem brain --model MODEL"
