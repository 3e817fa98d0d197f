"""A retraining happens once per cause, and only inside the envelope."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.promotion.retrain_envelope import Envelope
from neuro.training.config import TrainConfig
from tasks import retrain

BRAIN = problems.load("brain")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_of_five_claims_of_one_cause_one_wins(lake: Lake) -> None:
    with ThreadPoolExecutor(5) as pool:
        won = list(pool.map(lambda _: retrain.claim(lake, BRAIN, "brain/week-1"), range(5)))
    assert sorted(won) == [False, False, False, False, True]


def test_another_cause_is_another_claim(lake: Lake) -> None:
    assert retrain.claim(lake, BRAIN, "brain/week-1")
    assert retrain.claim(lake, BRAIN, "brain/week-2")


def test_a_failed_training_gives_its_cause_back(lake: Lake) -> None:
    retrain.claim(lake, BRAIN, "brain/week-1")
    retrain.release_claim(lake, "brain/week-1", RuntimeError("out of memory"))
    assert retrain.claim(lake, BRAIN, "brain/week-1")


def test_a_second_automatic_training_waits_for_the_cool_down(lake: Lake) -> None:
    retrain.claim(lake, BRAIN, "brain/week-1")
    reason = retrain.refusal(lake, BRAIN, TrainConfig(), Envelope(), "brain/week-2")
    assert reason is not None
    assert "cool-down" in reason


def test_what_a_person_starts_is_not_held_back(lake: Lake) -> None:
    retrain.claim(lake, BRAIN, "brain/week-1")
    by_hand = retrain.full_cause(BRAIN, None)
    assert retrain.refusal(lake, BRAIN, TrainConfig(), Envelope(), by_hand) is None
    assert retrain.seconds_allowed(BRAIN, Envelope(), by_hand) == math.inf


@pytest.mark.parametrize("cause", ["monthly", "run/x", None])
def test_a_problem_named_run_is_held_back_like_any_other(lake: Lake, cause: str | None) -> None:
    problem = replace(BRAIN, name="run")
    nothing = Envelope(problems=())
    reason = retrain.refusal(
        lake, problem, TrainConfig(), nothing, retrain.full_cause(problem, cause)
    )
    assert (reason is None) is (cause is None)


def test_a_claim_dated_tomorrow_blocks_nothing_for_ever(lake: Lake) -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    body = {"cause": "brain/week-1", "problem": "brain", "flow_run_id": "x"}
    journal.record(lake, "claim", "retrain/brain/week-1/0", body, ahead)
    assert retrain.refusal(lake, BRAIN, TrainConfig(), Envelope(), "brain/week-2") is None
