"""The page of an evaluation: what it says, shows and warns of; nothing from outside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuro.evaluation import subgroups
from neuro.evaluation.baselines import Baseline
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.subgroups import Subgroups
from neuro.images.preprocess import PreprocessSpec
from neuro.models.package import Card
from neuro.reports import evaluation_page, page_paths
from neuro.reports.answers import Maps, Near, Shown
from neuro.reports.evaluation_page import Mapped, Told
from neuro.reports.page_paths import ReleasePage
from neuro.sample import Metric
from neuro.uncertainty import calibration
from tests.monitoring.passports import HOSTILE, Reader
from tests.neuro.evaluation.answers import evaluation
from tests.neuro.reports.test_passport_page import photo

TOLD = Told(
    release="brain-0001-c7f7c6a0",
    is_synthetic=False,
    looks="look 7 at this test set, 2 by this model",
    leak="",
    missing="",
)
NO_SUBGROUPS = Subgroups(shown=(), hidden=0)
N = 200


def found(n_wrong: int = 50) -> Evaluation:
    """Of classes a and b, the last ones wrong; the first ten out of scope, the next undecided."""
    targets = np.arange(N) % 2
    confidence = np.linspace(0.99, 0.6, N)
    called = np.where(np.arange(N) < N - n_wrong, targets, 1 - targets)
    probabilities = np.empty((N, 2))
    probabilities[np.arange(N), called] = confidence
    probabilities[np.arange(N), 1 - called] = 1 - confidence
    sets = np.eye(2, dtype=bool)[called]
    sets[10:30] = True
    return evaluation(
        probabilities, targets.tolist(), sets=sets, ood_scores=[2.0] * 10 + [0.5] * (N - 10)
    )


def card(n_calibrated: int = 40) -> Card:
    rng = np.random.default_rng(0)
    logits, embeddings = rng.normal(size=(n_calibrated, 2)), rng.normal(size=(n_calibrated, 3))
    return Card(
        problem="brain",
        dataset="brain",
        architecture="resnet_small",
        classes=("a", "b"),
        preprocess=PreprocessSpec(size_px=32),
        calibration=calibration.fit(logits, embeddings, logits.argmax(axis=1)),
        pin={"release": "brain-0001", "content_hash": "0" * 64},
        code_revision="abc",
        training={},
        metrics=(),
        synthetic=False,
        intended_use="Teaching about magnets.",
    )


def read(
    answers: Evaluation | None = None,
    told: Told = TOLD,
    *,
    of: Card | None = None,
    baselines: tuple[Baseline, ...] = (),
    known: Subgroups = NO_SUBGROUPS,
    **more: Any,
) -> Reader:
    answers = answers or found()
    shown = Shown(pictures={str(name): photo() for name in answers.sample_ids})
    given = {"shown": shown} | more
    return Reader(
        evaluation_page.build(
            answers, of or card(), told, baselines=baselines, subgroups=known, **given
        )
    )


def baseline(macro_f1: float) -> Baseline:
    return Baseline(
        name="lookup",
        metrics=tuple(
            Metric(name=name, value=value, low=0.1, high=0.9, n=N, groups=N)
            for name, value in (("accuracy", 0.99), ("macro_f1", macro_f1))
        ),
    )


@pytest.mark.parametrize(
    "said",
    [
        "200 labelled images that it had never seen",
        "also those that it would not answer: 75.0 %. On other such images",
        "It finds fewest of a: 75% of them.",
        "50 of the images called wrong",
        "The model answers 85 % of these images and is right in 70.6 % of its 170 answers",
        "of 10 % it says that it cannot decide, and of 5 % that they are unlike",
        "Teaching about magnets.",
        "look 7 at this test set, 2 by this model",
        "all images 200 75.0%",  # sets that hold the true class
        "Shown are 24 of 50 errors.",
        "Nothing is known of these images",
        "Calibrated on few images",
    ],
)
def test_the_page_says_what_was_found(said: str) -> None:
    assert said in read().text


def test_every_figure_of_the_page_is_one_of_the_evaluation() -> None:
    answers, text = found(), read().text
    for name in (*evaluation_page.SHOWN[1:], "recall_a", "log_loss", "classwise_ece"):
        assert str(answers.metric(name)) in text


def test_the_surest_errors_and_the_most_doubtful_right_answers_are_shown() -> None:
    answers = found()
    shown = [image["data-sample"] for image in read().all("img") if "data-sample" in image]
    ids = answers.sample_ids.tolist()
    assert shown[:24] == ids[150:174]
    assert shown[24:] == ids[149:137:-1]


def test_every_picture_has_a_text_and_nothing_is_fetched() -> None:
    page = read()
    assert all(image["alt"] for image in page.all("img"))
    assert (page.outside(), page.is_whole) == ([], True)


@pytest.mark.parametrize(("macro_f1", "is_warned"), [(0.72, True), (0.60, False)])
def test_a_model_that_is_not_shown_to_beat_a_baseline_is_to_be_used_for_nothing(
    macro_f1: float, is_warned: bool
) -> None:
    text = read(baselines=(baseline(macro_f1),)).text
    said = "the look-up of the most similar image is as good or better. Use it for nothing."
    assert (said in text) is is_warned


@pytest.mark.parametrize("split", ["train", "val", "calibration"])
def test_a_split_that_the_model_knew_is_said_to_be_known(split: str) -> None:
    assert evaluation_page.ASKED[split] in read(replace(found(), split=split)).text


def test_a_leak_stands_in_the_summary() -> None:
    assert (
        "The figures flatter: 9 of 10 have a twin."
        in read(told=replace(TOLD, leak="9 of 10 have a twin")).text
    )


def test_enough_calibration_images_are_not_warned_of() -> None:
    assert "Calibrated on few images" not in read(of=card(200)).text


def test_a_faultless_model_has_no_error_to_show() -> None:
    assert "No error." in read(found(0)).text


def test_a_damaged_picture_is_said_to_be_lacking() -> None:
    page = evaluation_page.build(
        found(), card(), TOLD, baselines=(), subgroups=NO_SUBGROUPS, shown=Shown(pictures={})
    )
    assert "(not shown)" in Reader(page).text


def test_subgroups_are_drawn_and_listed_with_their_chance() -> None:
    answers = found()
    halves = np.where(np.arange(N) < 100, "first", "second")
    known = subgroups.compare(answers, {"half": halves, HOSTILE: halves})
    page = read(answers, known=known)
    assert "half second 100" in page.text
    assert "-0.500 under 0.001" in page.text
    assert (page.all("script"), page.is_whole) == ([], True)


def test_maps_and_the_nearest_training_cases_stand_beside_an_answer() -> None:
    answers = found()
    row = int(evaluation_page.shown_samples(answers)[0][0])
    name = str(answers.sample_ids[row])
    called, label = ("ab"[number] for number in (1 - answers.targets[row], answers.targets[row]))
    near = Near(sample_id="f" * 64, label="b", cosine=0.91)
    shown = Shown(
        pictures={name: photo(), near.sample_id: photo()},
        maps={name: Maps(called=photo(), instead=None, against=label)},
        nearest={name: [near]},
    )
    page = read(answers, shown=shown, mapped=Mapped(said=("The maps point at what decides.",)))
    assert "The maps point at what decides." in page.text
    assert f"nothing speaks for {called} and not for {label}" in page.text
    assert "training: b cosine 0.91" in page.text


def test_the_page_says_what_the_passport_knows_of_leaks() -> None:
    passport = {"twins": {"given_test_with_train_twin": 9, "given_test": 90, "near_groups": 4}}
    passport["twins"] |= {"exact_groups": 1, "cross_label_groups": 0}
    page = read(passport=passport)
    assert "9 of 90 test images of the source's own split" in page.text
    assert "Identifiers found and removed" not in page.text


def test_images_of_another_source_are_said_to_be_that_and_no_look() -> None:
    told = replace(TOLD, looks="", external="12 labelled images of there, 3 left out as twins")
    page = read(replace(found(), split="external"), told)
    assert "200 labelled images of another source" in page.text
    assert "12 labelled images of there, 3 left out as twins" in page.text
    assert "None of them counts as a look" in page.text


def test_its_place_is_found_again_by_its_name() -> None:
    home = Path("/home/of/neuro")
    place = ReleasePage(release="brain-0001", problem="brain", evaluated="3-test")
    assert page_paths.named(home, place.path(home)) == place
    assert place.command == "neuro evaluate --problem brain --model MODEL --split test"


@pytest.mark.parametrize(
    ("evaluated", "command"),
    [
        ("3-val", "neuro evaluate --problem brain --model MODEL --split val"),
        ("3-external-0123456789ab", "neuro evaluate --problem brain --model MODEL --on SOURCE"),
        ("3-explained-val", "neuro explain --errors --split val --problem brain --model MODEL"),
        ("3-explained-0123456789ab", "neuro explain IMAGE --problem brain --model MODEL"),
    ],
)
def test_each_page_names_the_command_that_draws_it(evaluated: str, command: str) -> None:
    place = ReleasePage(release="brain-0001", problem="brain", evaluated=evaluated)
    assert place.command == command


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((20, 20), "Each class has a limit of its own"),
        ((8, 32), "Too few calibration images for a limit of their own: a."),
        ((), "of all images like those they were calibrated on, not of each class"),
    ],
)
def test_the_page_says_of_which_classes_the_sets_promise_something(
    counts: tuple[int, ...], says: str
) -> None:
    fitted = replace(card().calibration, class_counts=counts)
    page = read(of=replace(card(), calibration=fitted)).text
    assert says in page
    assert ("The answers do not use them" in page) is bool(counts)
    assert ("limit of their own:" in page) is (8 in counts)


def test_an_image_that_is_not_called_by_its_largest_probability_is_said_to_be() -> None:
    targets = np.arange(N) % 2
    answers = evaluation(
        np.tile([0.7, 0.3], (N, 1)), targets.tolist(), called=[1] * N, sets=np.ones((N, 2), bool)
    )
    page = read(answers).text
    assert "called b at 0.30, its label at 0.70" in page
    assert "(a is more probable, but more common, too)" in page
