"""The passport's page: every figure said, every picture named, nothing from outside."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuro.evaluation.labels_in_doubt import DoubtfulLabel, Known, LabelsInDoubt, Opinion
from neuro.lake.releases import Release
from neuro.reports import passport_markdown, passport_page, passport_text
from tests.monitoring.passports import HOSTILE, Reader, digest, full, member, old

RELEASE = Release(
    name="brain-0001-c7f7c6a0",
    dataset="brain",
    tables={},
    content_hash="c7" * 32,
    passport={},
    parent="",
    creator="",
    note="",
    n=0,
    is_synthetic=False,
    created_at=datetime(2026, 11, 25, tzinfo=UTC),
)


def photo(seed: int = 0, *, turned: int = 0, mirrored: bool = False) -> bytes:
    grey = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    large = np.kron(grey, np.ones((8, 8), np.uint8))
    shown = np.rot90(large[:, ::-1] if mirrored else large, turned)
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "JPEG")
    return buffer.getvalue()


DOUBTED = LabelsInDoubt(
    problem="brain",
    release=RELEASE.name,
    content_hash=RELEASE.content_hash,
    folds=3,
    model="cnn",
    run_id="9f",
    n=1234,
    judges=("network of the fold",),
    agreement=(0.9,),
    labels=tuple(
        DoubtfulLabel(
            sample_id=digest(name),
            label="glioma",
            instead="pituitary",
            opinions=(Opinion(judge="network of the fold", says="pituitary", of_label=0.02),),
        )
        for name in ("s", "t")  # s is a suspect of the passport, too
    ),
)


def pictures(sealed: dict[str, Any]) -> dict[str, bytes]:
    return {sample_id: photo() for sample_id in passport_page.wanted(sealed)}


def read(sealed: dict[str, Any], shown: dict[str, bytes] | None = None) -> Reader:
    given = pictures(sealed) if shown is None else shown
    return Reader(passport_page.build(replace(RELEASE, passport=sealed), given))


@pytest.mark.parametrize(
    "figure",
    [
        "1,043 of 1,311 test images",
        "1,359 groups of pictures",
        "In 8 groups the copies have different labels",
        "0.98 on the source's own split, 0.96 on a random split, 0.89 on the grouped split",
        "A score under 0.87 on neuro's test split is worth nothing",
        "colour mode (0.53)",
        "with all of it together 0.71",
        "the given split is told with an accuracy of 0.82; guessing reaches 0.81",
        "1 label is contradicted by similar pictures",
        "Given glioma, suggested notumor (doubt 0.97)",
        "similar: notumor",
        "a mean recall of 0.25 is reached",
        "at least 0.43 above guessing",
        "unevenness of the border",
        "6,624 images form 2,656 groups: 1,359 by being twins, and 1,297 of one image each",
        "age: 57 missing and 39 impossible",
        "EXIF in 12 files, JPEG comment in 431 files",
        "Adults of three collections.",
        "CC0",
    ],
)
def test_every_part_says_its_figures(figure: str) -> None:
    assert figure in read(full()).text


def test_every_part_says_what_to_do() -> None:
    assert read(full()).text.count("What to do:") == 9


def test_a_release_from_before_says_what_was_not_inspected() -> None:
    text = read(old()).text
    assert text.count(passport_text.NOT_INSPECTED) == 2 * 7  # in the summary and in its part
    assert "1,043 of 1,311 test images" in text
    assert "No examples were kept in this release." in text


def test_a_passport_without_parts_is_a_page_too() -> None:
    sealed = {"images": 0, "groups": 0, "labels": {}, "splits": {}}
    assert read(sealed).is_whole


def test_serious_parts_come_first_in_the_summary() -> None:
    found = [each.key for each in passport_text.by_status(passport_text.advise(full()))]
    assert found[:3] == ["twins", "lookup", "confounds"]
    assert found[-1] == "about"


def test_every_picture_has_a_text_and_names_its_sample() -> None:
    images = read(full()).all("img")
    assert len(images) == 7
    assert all(image["alt"] and len(image["data-sample"]) == 64 for image in images)


def test_a_picture_that_is_lacking_is_left_out() -> None:
    page = read(full(), {digest("a"): photo()})
    assert (len(page.all("img")), page.is_whole) == (1, True)


def test_a_page_points_to_nothing_outside() -> None:
    page = read(full())
    assert page.outside() == []
    targets = [link["href"] for link in page.all("a")]
    anchors = {section["id"] for section in page.all("section")}
    assert {target.removeprefix("#") for target in targets} <= anchors


def test_a_hostile_label_is_text() -> None:
    sealed = full()
    sealed["labels"] = {HOSTILE: 3}
    sealed["twins"]["examples"] = [[member("a", HOSTILE, HOSTILE), member("b", HOSTILE, "train")]]
    near = [{"sample_id": digest("n1"), "label": HOSTILE}]
    sealed["label_suspects"][0] |= {"label": HOSTILE, "suggested": HOSTILE, "neighbours": near}
    sealed["metadata"] = [{"column": HOSTILE, "missing": 1, "impossible": 0, "values": [HOSTILE]}]
    sealed["identifiers"] = {HOSTILE: 1}
    sealed["about"] = dict.fromkeys(("licence", "citation", "population"), HOSTILE)
    page = read(sealed)
    assert (page.all("script"), page.is_whole) == ([], True)
    note = passport_markdown.build(RELEASE.name, sealed)
    assert "<script" not in note
    assert "|  <" not in note


def test_no_more_pictures_are_asked_for_than_a_page_bears() -> None:
    sealed = full()
    many = [dict(sealed["label_suspects"][0], sample_id=digest(f"s{n}")) for n in range(500)]
    for n, each in enumerate(many):
        each["neighbours"] = [
            {"sample_id": digest(f"n{n}-{k}"), "label": "glioma"} for k in range(10)
        ]
    sealed["label_suspects"] = many
    sealed["twins"]["examples"] *= 100
    assert 80 <= len(passport_page.wanted(sealed)) <= passport_page.MAX_PICTURES


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"given_test_with_train_twin": 0, "cross_label_groups": 0}, "fine"),
        ({"given_test_with_train_twin": 0, "cross_label_groups": 1}, "look"),
        ({"given_test_with_train_twin": 6, "given_test": 472}, "look"),
        ({"given_test_with_train_twin": 30, "given_test": 472}, "serious"),
    ],
)
def test_twins_are_as_serious_as_their_share(changed: dict[str, int], status: str) -> None:
    sealed = full()
    sealed["twins"] |= changed
    assert passport_text.advise(sealed)[0].status == status


def test_a_look_up_among_images_of_one_label_says_nothing() -> None:
    sealed = full() | {"labels": {"glioma": 30}}
    assert passport_text.advise(sealed)[1].status == "unknown"


@pytest.mark.parametrize(
    ("turned", "mirrored", "told"),
    [
        (0, False, "same way round"),
        (0, True, "mirrored left to right"),
        (2, False, "turned upside down"),
        (2, True, "mirrored top to bottom"),
        (1, False, "turned by a quarter"),
    ],
)
def test_it_is_told_how_a_copy_lies(turned: int, mirrored: bool, told: str) -> None:
    assert passport_page.pose_of_copy(photo(), photo(turned=turned, mirrored=mirrored)) == told


def test_the_note_of_a_run_says_the_figures_and_holds_no_picture_and_no_digest() -> None:
    note = passport_markdown.build(RELEASE.name, full())
    assert "1,043 of 1,311 test images" in note
    assert "data:" not in note
    assert not [name for name in passport_page.wanted(full()) if name[:12] in note]


def test_a_cluster_of_which_some_are_kept_says_at_least_so_many() -> None:
    sealed = full()
    member = sealed["twins"]["examples"][0][0] | {"given_split": "train+test"}
    sealed["twins"]["examples"] = [[member] * 6, [member] * 5]
    page = read(sealed).text
    in_both = "in the source's training part and in its test part"
    assert f"at least 6 pictures, {in_both}" in page
    assert f"5 pictures, {in_both}" in page
    assert "at least 5 pictures" not in page


def test_labels_that_folds_doubt_stand_beside_the_suspects_and_say_by_whom() -> None:
    known = Known(lists=(DOUBTED,))
    given = {name: photo() for name in passport_page.wanted(full(), known)}
    page = Reader(passport_page.build(replace(RELEASE, passport=full()), given, known))
    assert "Doubted by the 3 folds of brain (cnn)" in page.text
    assert "2 of 1,234 labels" in page.text
    assert "network of the fold: pituitary (label 0.02)" in page.text
    assert "doubted by the passport and the 3 folds of brain (cnn)" in page.text
    assert page.text.count("a suspect of the passport") == 1
    assert digest("t") in {image["data-sample"] for image in page.all("img")}


def test_a_passport_from_before_suspects_shows_what_folds_doubt() -> None:
    known = Known(lists=(DOUBTED,))
    page = Reader(passport_page.build(replace(RELEASE, passport=old()), {}, known))
    assert "Doubted by the 3 folds of brain (cnn)" in page.text


def test_a_damaged_list_is_named_on_the_page() -> None:
    known = Known(damaged=("a list of labels in doubt is damaged: x.json <b>",))
    page = Reader(passport_page.build(replace(RELEASE, passport=full()), {}, known))
    assert "is damaged: x.json <b>" in page.text
