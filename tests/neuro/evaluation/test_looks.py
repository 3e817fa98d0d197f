"""Looks at a test set are counted whoever looks."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from neuro.dataset.frames import Frames
from neuro.evaluation import looks
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.splits import split_choice
from tests.neuro.evaluation.test_evaluate import frames

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ONE, OTHER = "1" * 64, "2" * 64


def counted(
    lake: Lake, problem: Problem, package: str, asked: Frames, body: dict[str, Any] | None = None
) -> tuple[int, int]:
    found = looks.count(lake, problem, asked, package=package, body=body or {}, now=NOW)
    return found.of_test_set, found.of_model


def test_a_new_model_goes_on_counting(lake: Lake, brain: Problem) -> None:
    got = [counted(lake, brain, package, frames()) for package in (ONE, OTHER, ONE)]
    assert got == [(1, 1), (2, 1), (3, 2)]


def test_a_new_release_goes_on_counting(lake: Lake, brain: Problem) -> None:
    later = replace(frames(), content_hash="another")
    assert [counted(lake, brain, ONE, each)[0] for each in (frames(), later)] == [1, 2]


def test_two_questions_about_the_same_images_share_the_count(lake: Lake) -> None:
    asked = [problems.load(name) for name in ("skin", "skin7")]
    assert [counted(lake, each, ONE, frames())[0] for each in asked] == [1, 2]


def test_another_dataset_is_another_test_set(lake: Lake, brain: Problem) -> None:
    counted(lake, brain, ONE, frames())
    assert counted(lake, problems.load("chest"), ONE, frames()) == (1, 1)


def test_the_split_that_a_source_gives_has_another_test_set(lake: Lake, brain: Problem) -> None:
    counted(lake, brain, ONE, frames())
    given = replace(frames(), splitting=split_choice.parse("given"))
    assert [counted(lake, brain, ONE, given) for _ in range(2)] == [(1, 1), (2, 2)]


def test_folds_keep_the_lake_s_own_test_set(lake: Lake, brain: Problem) -> None:
    counted(lake, brain, ONE, frames())
    fold = replace(frames(), splitting=split_choice.parse("fold-2-of-5"))
    assert counted(lake, brain, ONE, fold) == (2, 2)


def test_looks_that_were_counted_by_package_and_release_stay_counted(
    lake: Lake, brain: Problem
) -> None:
    """As lakes of an earlier version hold them."""
    for subject in (f"{ONE[:16]}/brain-0001", f"{OTHER[:16]}/brain-0002"):
        body = {"model": "m", "problem": "brain", "subject": subject}
        assert journal.record(lake, "look", f"{subject}/1", body, NOW)
    assert counted(lake, brain, ONE, frames()) == (3, 2)


def test_what_is_told_of_a_look_is_in_the_journal(lake: Lake, brain: Problem) -> None:
    counted(lake, brain, ONE, frames(), {"read_by": "drift", "n": 4})
    (entry,) = journal.entries(lake, "look")
    assert entry.body == {
        "n": 4,
        "package": ONE,
        "problem": "brain",
        "read_by": "drift",
        "test_set": "brain/own",
    }


def look(package: str, release: str, **more: Any) -> journal.Entry:
    body = {"test_set": "brain/own", "problem": "brain", "package": package, "model": "m"}
    return journal.Entry(
        number=1,
        key=f"look/{package}",
        kind="look",
        body={**body, "release": release, **more},
        at=NOW,
    )


def spent(
    brain: Problem, *entries: journal.Entry, package: str = OTHER, served: tuple[str, ...] = ()
) -> int:
    """The number of a challenger on brain-0002."""
    found = looks.budget(
        entries, brain, frames(), package=package, release="brain-0002", served=served
    )
    return found.number


def test_a_challenger_counts_once_for_each_release(brain: Problem) -> None:
    tried = (look(ONE, "brain-0001"), look(ONE, "brain-0001"), look(ONE, "brain-0002"))
    assert spent(brain) == 1
    assert spent(brain, *tried) == 3
    assert spent(brain, *tried, look(OTHER, "brain-0002")) == 3
    assert spent(brain, *tried, package=ONE) == 2


def test_another_test_set_or_question_does_not_count(brain: Problem) -> None:
    others = look(ONE, "a", test_set="brain/given"), look(ONE, "a", problem="brain_tumor")
    assert spent(brain, *others) == 1


def test_what_was_only_compared_with_does_not_count(brain: Problem) -> None:
    assert spent(brain, look(ONE, "brain-0002", as_reference=True)) == 1
    assert spent(brain, look(ONE, "brain-0002", as_reference=False), served=("m",)) == 2


def test_an_older_look_by_a_package_that_served_does_not_count(brain: Problem) -> None:
    """By whichever of its names: here as version 4 of the registry and, without one, by digest."""
    named = look(ONE, "brain-0001", model="4"), look(ONE, "brain-0002", model=ONE)
    assert spent(brain, *named) == 3
    assert spent(brain, *named, served=("4",)) == 1


def test_looks_of_the_first_version_of_the_journal_count(brain: Problem) -> None:
    body = {"model": "m", "problem": "brain", "subject": f"{ONE[:16]}/brain-0001"}
    first = journal.Entry(number=1, key="look/a/1", kind="look", body=body, at=NOW)
    assert spent(brain, first) == 2
    assert spent(brain, first, look(ONE, "brain-0001")) == 2


def test_the_error_of_all_challengers_is_a_twentieth() -> None:
    tails = [looks.LookBudget(number=number).tail for number in range(1, 10_000)]
    assert tails[0] == pytest.approx(0.025)
    assert tails[2] == pytest.approx(0.05 / 12)
    assert sum(tails) == pytest.approx(0.05, rel=1e-3)
    assert sum(tails) < 0.05
