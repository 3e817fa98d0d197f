"""The page of the nearest cases."""

from dataclasses import replace

from neuro.features.similar_cases import Case
from neuro.reports import render, similar_cases_page
from neuro.reports.similar_cases_page import Query
from neuro.sample import Sample
from tests.monitoring.passports import HOSTILE, digest

SMALL = b"\xff\xd8small"
SAMPLE = Sample(
    sample_id=digest("a"),
    group_id=digest("g"),
    split="train",
    given_split="",
    label="mel",
    source_name="name-1",
    entered="r",
)
QUERY = Query(
    sha256=digest("q"), sample=None, release="skin-0001", features="thumb", is_synthetic=False
)
PICTURES = {digest("a"): SMALL, digest("q"): SMALL}


def built(query: Query = QUERY, sample: Sample = SAMPLE) -> str:
    cases = [Case(sample=sample, cosine=0.98765)]
    return similar_cases_page.build(query, cases, PICTURES, {"mel": "malignant"}.get)  # type: ignore[arg-type]


def test_a_case_is_shown_with_label_class_split_group_and_cosine() -> None:
    text = built()
    for told in ("cosine 0.988", "mel (malignant)", "split train", f"group {digest('g')[:12]}"):
        assert told in text
    assert "0.9877" in text  # of the table


def test_a_file_that_is_not_in_the_release_is_said_to_be_none_of_it() -> None:
    assert "not in the release" in built()
    assert "not in the release" not in built(replace(QUERY, sample=SAMPLE))


def test_the_page_says_what_is_compared() -> None:
    assert "best of the eight flips" in built()
    assert "what a network sees" in built(replace(QUERY, features="embedding_resnet18"))


def test_a_sample_without_a_label_is_told_as_such() -> None:
    assert "no label" in built(sample=replace(SAMPLE, label=""))


def test_names_from_a_delivery_are_text() -> None:
    text = built(sample=replace(SAMPLE, label=HOSTILE, source_name=HOSTILE))
    assert HOSTILE not in text


def test_a_picture_that_is_damaged_leaves_its_place() -> None:
    lost = replace(SAMPLE, sample_id=digest("lost"))
    assert "damaged in the lake" in built(sample=lost)


def test_it_says_research_use_and_synthetic() -> None:
    assert render.RESEARCH_USE in built()
    assert render.SYNTHETIC in built(replace(QUERY, is_synthetic=True))
