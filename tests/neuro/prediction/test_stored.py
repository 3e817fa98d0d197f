"""Predictions are kept for each problem, also in a lake whose table was made before they were."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuro.lake.lake import Lake
from neuro.prediction import stored
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.sample import Prediction
from tests.fixtures import lakes

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def tumor() -> Problem:
    return problems.load("brain_tumor")


@pytest.fixture
def old(tmp_path: Path) -> Lake:
    """A lake whose table has a key without the problem."""
    return Lake(lakes.copy_v1(tmp_path))


def answers(problem: Problem, sample_ids: Sequence[str], version: str = "1") -> list[Prediction]:
    n = len(problem.classes)
    return [
        Prediction(
            sample_id=sample_id,
            model_version=version,
            preprocess_hash="0",
            probabilities=(1.0, *[0.0] * (n - 1)),
            predicted=problem.classes[0],
            conformal_set=problem.classes[:1],
            ood_score=0.5,
            decision="answer",
            reason="",
        )
        for sample_id in sample_ids
    ]


def add(lake: Lake, problem: Problem, given: Sequence[Prediction]) -> None:
    stored.add(lake, problem, given, ["brain-0001-0"] * len(given), NOW)


def test_version_1_of_two_problems_on_one_dataset_each_keep_their_answers(
    lake: Lake, brain: Problem, tumor: Problem
) -> None:
    for problem in (brain, tumor, tumor):
        add(lake, problem, answers(problem, ["a", "b"]))
    assert len(lake.read("predictions")) == 4
    for problem in (brain, tumor):
        table = stored.table(lake, problem, "1", {"a": "a.png", "b": "b.png"})
        assert table["predicted"].to_pylist() == [problem.classes[0]] * 2


def test_an_older_lake_keeps_the_answers_it_has_and_takes_those_of_another_problem(
    old: Lake, brain: Problem, tumor: Problem
) -> None:
    rows = old.read("predictions").to_pylist()
    version, sample_ids = rows[0]["model_version"], [row["sha256"] for row in rows]
    for problem in (brain, tumor, tumor):
        add(old, problem, answers(problem, sample_ids, version))
        assert set(stored.sample_ids(old, problem, version)) == set(sample_ids)
    kept = stored.rows(old, brain, version).sort_by("sha256").to_pylist()
    assert kept == sorted(rows, key=lambda row: str(row["sha256"]))
    assert len(old.read("predictions")) == 2 * len(rows)


def test_what_two_processes_wrote_at_once_to_an_older_lake_is_read_once(
    old: Lake, tumor: Problem
) -> None:
    add(old, tumor, answers(tumor, ["a", "b"]))
    one = old.read("predictions", where="sha256 = 'a'")
    old.open("predictions").insert(one)
    assert stored.sample_ids(old, tumor, "1").tolist() == ["a", "b"]
    assert stored.table(old, tumor, "1", {"a": "a.png"}).num_rows == 1
