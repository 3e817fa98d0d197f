"""Models that lie about what they are, or answer worse, and what refuses each.

The rest of ``bench.worse_models.kinds`` needs minutes of training: ``python -m bench planted``.
"""

from pathlib import Path

import numpy as np
import pytest

from bench.worse_models.kinds import PLANTED
from bench.worse_models.scene import Scene
from flows.promote import promote
from neuro.errors import ConfigError, PackageError
from neuro.evaluation import evaluate as scoring
from neuro.evaluation.evaluate import Evaluation
from neuro.models import package
from neuro.prediction import predict
from neuro.problems import problem as problems
from neuro.promotion import gates
from neuro.promotion.gates import PromotionConfig
from tasks.load import release_data

BRAIN = problems.load("brain")
KINDS = {kind.name: kind for kind in PLANTED}


@pytest.fixture
def scene(model: str) -> Scene:
    loaded = release_data.load(release_data.open_lake(None), BRAIN)
    return Scene(question="brain", loaded=loaded, champion=package.open_verified(Path(model)))


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("classes exchanged in the card", PackageError, "problem brain asks for"),
        ("of another problem", PackageError, "problem brain asks for"),
        ("frames of another side", ConfigError, "trained with another preprocess"),
        ("another intensity", ConfigError, "trained with another preprocess"),
        ("weights with NaN", PackageError, "holds NaN or infinity"),
        ("weights with infinity", PackageError, "holds NaN or infinity"),
        ("trained with --split given", ConfigError, "trained with --split given"),
    ],
)
def test_a_planted_model_is_refused_before_the_test_split_is_read(
    scene: Scene, tmp_path: Path, name: str, error: type[Exception], says: str
) -> None:
    folder = KINDS[name].make(scene, tmp_path / "planted")
    with pytest.raises(error, match=says):
        promote.fn(model=str(folder))


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("no class in any set", "sets_no_worse"),
        ("out of scope always", "answers_no_less"),
        ("one class throughout", "no_worse_on_test"),
    ],
)
def test_a_planted_model_is_refused_by_the_gate_that_looks_at_what_it_lost(
    scene: Scene, tmp_path: Path, name: str, gate: str
) -> None:
    """Beside answers that are right and sure, for the champion of this home is hardly trained."""
    folder = KINDS[name].make(scene, tmp_path / "planted")
    challenger = answers(scene, folder)
    decision = gates.decide(
        challenger, right(challenger), recall_floors={}, config=PromotionConfig()
    )
    assert decision.decision == "keep"
    assert gate in {each.name for each in decision.gates if each.is_refuted}


def answers(scene: Scene, folder: Path) -> Evaluation:
    engine = predict.load(package.open_verified(folder))
    return scoring.evaluate(engine, scene.loaded.frames, "test", model_version="")


def right(evaluation: Evaluation) -> Evaluation:
    certain = np.eye(len(BRAIN.classes))[evaluation.targets]
    return scoring.of_answers(
        scoring.Answers(
            split="test",
            model_version="champion",
            classes=evaluation.classes,
            sample_ids=evaluation.sample_ids,
            groups=evaluation.groups,
            targets=evaluation.targets,
            called=evaluation.targets,
            probabilities=certain,
            conformal_sets=certain > 0,
            ood_scores=np.zeros(len(certain)),
        )
    )
