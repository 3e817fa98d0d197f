"""What a retraining starts from, and what it may do by itself."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from flows.ingest import ingest
from flows.retrain import retrain as retrain_flow
from neuro.errors import TrainingError
from neuro.lake import journal
from neuro.problems import problem as problems
from neuro.promotion.retrain_envelope import Envelope
from neuro.training.config import TrainConfig
from tasks import evaluate as evaluation
from tasks import promote, retrain
from tasks import train as training
from tasks.load import models, release_data
from tests.flows.conftest import QUICK, Deliver, Draw

# Each field of the envelope as it forbids a training of one epoch; promotion acts on the gate.
REFUSED = {
    "problems": ('problems = ["chest"]', "brain is not among the envelope's problems"),
    "architectures": ('architectures = ["resnet18"]', "is not among the envelope's architectures"),
    "max_epochs": ("max_epochs = 0", "1 epochs exceed the envelope's 0"),
    "max_seconds": ("max_seconds = 0", "0 s exceed the envelope's 0 s"),
    "cool_down_s": ("cool_down_s = 60", "the cool-down is 60 s"),
    "max_per_month": ("cool_down_s = 0\nmax_per_month = 1", "max_per_month is 1"),
}


def test_before_a_champion_the_recipe_is_the_default_preset_for_the_data(
    home: Path, draw: Draw
) -> None:
    ingest.fn(source=str(draw(["glioma", "meningioma", "notumor", "pituitary"], 6)))
    lake = release_data.open_lake(None)
    plan = retrain.plan(lake, problems.load("brain"), None, None)
    assert plan.preset == "default"
    assert plan.recipe.batch_size < 24  # there are fewer images than in a usual batch


@pytest.mark.parametrize("name", REFUSED)
def test_a_field_of_the_envelope_keeps_a_training_from_starting(
    home: Path, delivered: Deliver, name: str
) -> None:
    delivered(12)
    text, says = REFUSED[name]
    (home / "envelope.toml").write_text(text)
    lake = release_data.open_lake(None)
    assert retrain.claim(lake, problems.load("brain"), "brain/week-1")
    result = retrain_flow.fn(cause="monthly", config=QUICK)
    assert result["decision"] == "none"
    assert says in result["reason"]
    assert len(journal.entries(lake, "claim")) == 1  # the cause stays open


def test_a_training_by_itself_ends_when_its_time_is_used_up_and_gives_its_cause_back(
    home: Path, delivered: Deliver
) -> None:
    delivered(12)
    (home / "envelope.toml").write_text("max_seconds = 0.001")
    with pytest.raises(TrainingError, match=r"after epoch 1 of 2: .* max_seconds 0.001 of the env"):
        retrain_flow.fn(cause="monthly", config=TrainConfig(epochs=2))
    lake = release_data.open_lake(None)
    (failed,) = journal.entries(lake, "failed")
    assert failed.body["cause"] == journal.entries(lake, "claim")[0].body["cause"]
    assert failed.body["cause"].startswith("brain/month/")


def test_a_training_that_has_ended_is_kept_however_long_its_last_epoch_took(
    home: Path, delivered: Deliver
) -> None:
    delivered(12)
    loaded = release_data.load(release_data.open_lake(None), problems.load("brain"))
    trained = training.train(loaded, QUICK, training.Setup(max_seconds=0.001))
    assert trained.package.folder.is_dir()


def test_a_challenger_like_the_champion_passes_each_gate_and_the_decision_is_written(
    home: Path, model: str
) -> None:
    problem = problems.load("brain")
    loaded = release_data.load(release_data.open_lake(None), problem)
    looked = evaluation.evaluate(loaded, models.load(problem, model))
    entry = promote.promote(loaded, looked, looked, Envelope(), "brain/month/2026-11")
    (kept,) = journal.entries(loaded.lake, "decision")
    passed = {gate["name"]: gate["passed"] for gate in kept.body["gates"]}
    seen = ("answers_no_less", "sets_no_worse", "log_loss_no_worse", "answers_no_strangers")
    assert all(passed[name] for name in seen)
    assert json.loads(json.dumps(entry["gates"])) == kept.body["gates"]


def test_every_field_of_the_envelope_is_tested_to_bite() -> None:
    """That of ``promotion`` is tested beside the gates, of approvals in test_who_serves, and that
    of drift in test_verdicts and test_window.
    """
    approvals = {"needs_approval", "approvals", "approvers", "changes_preprocess"}
    asked = {field.name for field in fields(Envelope)} - {"stated"}
    assert {*REFUSED, *approvals, "promotion", "drift"} == asked
