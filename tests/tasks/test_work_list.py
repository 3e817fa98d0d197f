from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from neuro.errors import ConfigError
from neuro.ingest import late_labels
from neuro.lake import journal, labels, releases, work_list
from neuro.lake.labels import Annotation
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.lake.work_list import CANNOT_TELL, FINAL, FIRST, GIVEN, UNCERTAIN, Read, WorkKey
from neuro.prediction import stored
from neuro.problems.problem import Problem
from neuro.sample import Answer, Prediction
from tasks import work_list as steps
from tasks.work_list import FillConfig


@pytest.fixture
def release(
    lake: Lake,
    ingest: Callable[..., Release],
    deliver: Callable[..., Path],
    png: Callable[[int], bytes],
) -> Release:
    return ingest(lake, deliver("a", {f"glioma/{n}.png": png(n) for n in range(6)}))


@pytest.fixture
def ids(lake: Lake, release: Release) -> list[str]:
    return [sample.sample_id for sample in releases.samples(lake, release)]


def answer(sample_id: str, decision: Answer, most: float) -> Prediction:
    rest = (1 - most) / 3
    return Prediction(
        sample_id=sample_id,
        model_version="1",
        preprocess_hash="",
        probabilities=(most, rest, rest, rest),
        predicted="glioma",
        conformal_set=("glioma", "pituitary"),
        ood_score=0.2,
        decision=decision,
        reason="two are left",
    )


@pytest.fixture
def answered(lake: Lake, brain: Problem, ids: list[str], now: datetime) -> list[str]:
    """The images that version 1, which serves, does not answer, the least sure first."""
    body = {"problem": "brain", "challenger": "1", "champion": "", "is_promoted": True}
    body |= {"after": 0, "package": "f" * 64, "reason": "", "decision": "promote", "gates": []}
    journal.record(lake, "decision", "brain/1", body, now)
    said = [answer(ids[0], "answer", 0.9), answer(ids[1], "abstain", 0.6)]
    said.append(answer(ids[2], "out_of_scope", 0.5))
    stored.add(lake, brain, said, ["w"] * 3, now)
    return [ids[2], ids[1]]


def listed(lake: Lake) -> list[tuple[str, str]]:
    every = work_list.readings(lake, "brain")
    return [(each.item.key.sha256, each.item.source) for each in every]


def read(lake: Lake, sample_id: str, who: str, label: str, now: datetime) -> None:
    for step in (FIRST, FINAL):
        said = Read(who=who, step=step, label=label, at=now)
        work_list.record(lake, WorkKey("brain", sample_id), said)


def test_what_the_serving_version_does_not_answer_waits_the_least_sure_first(
    lake: Lake, brain: Problem, answered: list[str], now: datetime
) -> None:
    added = steps.fill(lake, brain, FillConfig(sources=[UNCERTAIN]), now)
    assert added == {UNCERTAIN: 2}
    assert listed(lake) == [(sample_id, UNCERTAIN) for sample_id in answered]


def test_a_label_that_somebody_gave_comes_before_what_is_uncertain(
    lake: Lake, brain: Problem, ids: list[str], answered: list[str], now: datetime
) -> None:
    given = Annotation(label="pituitary", who="ben", at=now)
    labels.add_unreviewed(lake, "brain", ids[5], given)
    steps.fill(lake, brain, FillConfig(), now)
    assert listed(lake)[0] == (ids[5], GIVEN)
    (first, *_) = work_list.readings(lake, "brain")
    assert first.item.why == "ben says that it is pituitary"


def test_no_more_of_a_source_are_added_than_were_asked_for(
    lake: Lake, brain: Problem, answered: list[str], now: datetime
) -> None:
    assert steps.fill(lake, brain, FillConfig(n=1), now)[UNCERTAIN] == 1


def test_an_image_that_is_in_no_release_is_left_out(
    lake: Lake, brain: Problem, release: Release, now: datetime
) -> None:
    labels.add_unreviewed(lake, "brain", "0" * 64, Annotation(label="glioma", who="b", at=now))
    assert steps.fill(lake, brain, FillConfig(sources=[GIVEN]), now) == {GIVEN: 0}


def test_what_was_decided_comes_back_only_for_another_label(
    lake: Lake, brain: Problem, answered: list[str], now: datetime
) -> None:
    steps.fill(lake, brain, FillConfig(), now)
    read(lake, answered[0], "ana", "glioma", now)
    assert steps.fill(lake, brain, FillConfig(), now) == {GIVEN: 0, "suspect": 0, UNCERTAIN: 0}
    given = Annotation(label="pituitary", who="ben", at=now + timedelta(days=1))
    labels.add_unreviewed(lake, "brain", answered[0], given)
    assert steps.fill(lake, brain, FillConfig(), now)[GIVEN] == 1


def test_a_label_that_readers_could_not_judge_does_not_come_back(
    lake: Lake, brain: Problem, ids: list[str], now: datetime
) -> None:
    given = Annotation(label="pituitary", who="ben", at=now)
    labels.add_unreviewed(lake, "brain", ids[5], given)
    steps.fill(lake, brain, FillConfig(sources=[GIVEN]), now)
    read(lake, ids[5], "ana", CANNOT_TELL, now)
    assert steps.fill(lake, brain, FillConfig(sources=[GIVEN]), now) == {GIVEN: 0}


def test_a_release_has_the_labels_that_readers_decided(
    lake: Lake, brain: Problem, release: Release, answered: list[str], now: datetime
) -> None:
    steps.fill(lake, brain, FillConfig(), now)
    read(lake, answered[0], "ana", "notumor", now)
    made = late_labels.publish_decided(lake, brain, now)
    label_of = {each.sample_id: each.label for each in releases.samples(lake, made)}
    assert (label_of[answered[0]], label_of[answered[1]]) == ("notumor", "glioma")
    assert made.parent == release.name
    assert late_labels.publish_decided(lake, brain, now) == made


def test_an_ingest_has_them_too(
    lake: Lake,
    brain: Problem,
    answered: list[str],
    now: datetime,
    ingest: Callable[..., Release],
    deliver: Callable[..., Path],
    png: Callable[[int], bytes],
) -> None:
    steps.fill(lake, brain, FillConfig(), now)
    read(lake, answered[0], "ana", "notumor", now)
    made = ingest(lake, deliver("b", {"glioma/9.png": png(9)}))
    label_of = {each.sample_id: each.label for each in releases.samples(lake, made)}
    assert label_of[answered[0]] == "notumor"


def test_readers_are_compared_by_what_they_said_unseen(
    lake: Lake, brain: Problem, answered: list[str], now: datetime
) -> None:
    steps.fill(lake, brain, FillConfig(readers=2), now)
    read(lake, answered[0], "ana", "glioma", now)
    read(lake, answered[1], "ana", "notumor", now)
    read(lake, answered[1], "ben", "notumor", now)
    key = WorkKey("brain", answered[0])
    work_list.record(lake, key, Read(who="ben", step=FIRST, label="pituitary", at=now))
    work_list.record(lake, key, Read(who="ben", step=FINAL, label="glioma", at=now))
    (found,) = steps.agreements(lake, brain)
    assert found.value is not None
    assert (found.first, found.second, found.value.n) == ("ana", "ben", 2)
    assert found.value.value < 1


@pytest.mark.parametrize(
    "wrong", [{"sources": ["nowhere"]}, {"n": 0}, {"readers": 3}], ids=lambda each: next(iter(each))
)
def test_what_no_list_can_be_filled_with_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong)).removesuffix("s")):
        FillConfig(**wrong)  # type: ignore[arg-type]
