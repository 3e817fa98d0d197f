"""What a training is planned to be, for a release that lies in a lake."""

from pathlib import Path

import pytest

from neuro.lake.lake import Lake
from neuro.models import weights_packages
from neuro.problems import problem as problems
from neuro.training import device, precision
from neuro.training.config import TrainConfig
from neuro.training.device import Machine
from tasks import plan_training
from tasks.load.start_weights import StartWeights

BRAIN = problems.load("brain")
CPU = Machine(device="cpu")
RECIPE = TrainConfig(model="cnn", size_px=48)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[int]:
    """How often a precision was measured; f32 is faster."""
    times: list[int] = []

    def seconds(*_: object) -> dict[str, list[float]]:
        times.append(1)
        return {"bf16": [2.0], "f32": [1.0]}

    monkeypatch.setattr(device, "has_bf16_cpu", lambda: True)
    monkeypatch.setattr(precision, "seconds", seconds)
    return times


def test_a_precision_is_measured_once_for_a_network_and_kept(
    measured: list[int], home: Path
) -> None:
    plans = [plan_training.planned(BRAIN, RECIPE, None, CPU) for _ in range(2)]
    assert [plan.machine.precision for plan in plans] == ["f32", "f32"]
    assert len(measured) == 1
    other = TrainConfig(model="resnet_small", size_px=48)
    plan_training.planned(BRAIN, other, None, CPU)
    assert len(measured) == 2
    (home / "precision.json").write_text("{")
    plan_training.planned(BRAIN, RECIPE, None, CPU)
    assert len(measured) == 3


def test_what_was_measured_on_a_cpu_is_no_rule_for_another_device(
    measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_training.planned(BRAIN, RECIPE, None, CPU)
    best = Machine()
    monkeypatch.setattr(Machine, "kind", "cuda")
    monkeypatch.setattr(Machine, "is_bf16", True)
    assert plan_training.planned(BRAIN, RECIPE, None, best).machine.precision == "auto"
    assert len(measured) == 1


def planned(problem: str, **asked: object) -> plan_training.Plan:
    facts = {"changes": {}, "start": StartWeights()} | asked
    request = plan_training.Request(**facts)  # type: ignore[arg-type]
    lake = Lake("nowhere")
    return plan_training.make(lake, problems.load(problem), None, request, CPU)


def test_images_in_colour_are_planned_from_weights_in_frames_of_their_side(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_training, "_training_images", lambda *_: 6160)
    plan = planned("skin7", changes={"epochs": 4})
    known = weights_packages.KNOWN[0]
    assert plan.weights == home / "weights" / known.sha256
    assert (plan.recipe.model, plan.recipe.epochs) == (known.architecture, 4)
    assert plan.problem.preprocess.size_px == plan.recipe.size_px == 128
    assert plan.recipe.head_epochs == 1
    assert "in colour" in plan.why


def test_a_fast_training_is_planned_from_scratch(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_training, "_training_images", lambda *_: 6160)
    plan = planned("skin7", preset="fast")
    assert (plan.recipe.model, plan.weights) == ("resnet_small", None)
    assert plan.problem == problems.load("skin7")


def test_the_frames_of_a_plan_have_the_side_of_its_recipe(home: Path) -> None:
    assert plan_training.planned(BRAIN, RECIPE, None, CPU).problem.preprocess.size_px == 48


@pytest.mark.parametrize(
    ("asked", "is_open"),
    [
        ({"changes": {}}, True),
        ({"changes": {"epochs": 3}, "start": StartWeights(pretrained=True)}, True),
        ({"changes": {"model": "cnn"}}, False),
        ({"changes": {}, "config": RECIPE}, False),
        ({"changes": {}, "start": StartWeights(file=Path("w.pth"))}, False),
    ],
)
def test_the_preset_chooses_a_model_only_where_nobody_said_one(
    asked: dict[str, object], *, is_open: bool
) -> None:
    request = plan_training.Request(**({"start": StartWeights()} | asked))  # type: ignore[arg-type]
    assert request.leaves_the_model_open is is_open
