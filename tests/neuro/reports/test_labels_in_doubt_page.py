"""The page of the labels that folds doubt: every figure, every picture, nothing from outside."""

from collections.abc import Sequence
from dataclasses import replace

from neuro.evaluation.labels_in_doubt import LabelsInDoubt, SideBySide
from neuro.reports import labels_in_doubt_page, render
from neuro.sample import Metric
from tests.monitoring.passports import HOSTILE, Reader, digest, full
from tests.neuro.reports.test_passport_page import DOUBTED, RELEASE, photo

ALL = Metric(name="accuracy", value=0.9, low=0.85, high=0.95, n=1234, groups=600)
FIGURES = (
    SideBySide(name="accuracy", all_labels=ALL, without=replace(ALL, value=0.95, n=1232)),
    SideBySide(name="auroc", all_labels=None, without=None),
)
SUSPECTED = replace(RELEASE, passport=full())


def read(found: LabelsInDoubt = DOUBTED, figures: Sequence[SideBySide] = FIGURES) -> Reader:
    shown = {label.sample_id: photo() for label in found.labels}
    return Reader(labels_in_doubt_page.build(SUSPECTED, found, figures, shown))


def test_it_says_how_many_by_whom_and_the_figures_with_and_without() -> None:
    text = read().text
    for said in (
        "doubted by the 3 folds of brain (cnn)",
        "agrees with 0.90 of all labels",
        "0.900 [0.850, 0.950]",
        "0.950 [0.850, 0.950]",
        "Nothing was removed",
        "no better estimate",
    ):
        assert said in text, said


def test_each_image_has_its_label_what_is_said_instead_and_its_sample() -> None:
    page = read()
    assert [image["data-sample"] for image in page.all("img")] == [digest("s"), digest("t")]
    assert page.text.count("labelled glioma") == 2
    assert page.text.count("network of the fold: pituitary (label 0.02)") == 2
    assert page.text.count("a suspect of the passport") == 1
    assert digest("t")[:12] in page.text


def test_a_list_without_a_label_says_so() -> None:
    page = read(replace(DOUBTED, labels=()))
    assert "No label is contradicted by every judge" in page.text
    assert page.is_whole


def test_of_more_than_a_page_bears_it_says_where_the_others_are() -> None:
    label = DOUBTED.labels[0]
    many = [replace(label, sample_id=digest(f"m{number}")) for number in range(250)]
    page = read(replace(DOUBTED, labels=tuple(many)))
    assert len(page.all("img")) == labels_in_doubt_page.MAX_PICTURES
    assert f"50 more are in the list beside this page, {RELEASE.name}.json" in page.text


def test_a_hostile_label_is_text_and_nothing_is_fetched() -> None:
    hostile = replace(DOUBTED.labels[0], label=HOSTILE, instead=HOSTILE)
    page = read(replace(DOUBTED, labels=(hostile,)))
    assert (page.all("script"), page.outside(), page.is_whole) == ([], [], True)


def test_it_says_research_use_and_synthetic() -> None:
    release = replace(SUSPECTED, is_synthetic=True)
    text = labels_in_doubt_page.build(release, DOUBTED, FIGURES, {})
    assert render.RESEARCH_USE in text
    assert render.SYNTHETIC in text
