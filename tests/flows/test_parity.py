"""The same bytes get the same answer on every path: each against the batch, image by image."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from flows.ingest import ingest
from flows.predict import predict
from flows.train import train
from neuro.evaluation import evaluate
from neuro.images import preprocess, sanitize
from neuro.models import package, package_manifest
from neuro.models.package import TOLERANCE
from neuro.prediction import choose_runtime, runtimes
from neuro.prediction import predict as predictor
from neuro.prediction.runtimes import EXACT
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.sample import SPLITS
from neuro.training.config import TrainConfig
from neuro.uncertainty import calibration
from neuro.uncertainty.calibration import Calibrated
from tasks import explain
from tasks.explain import Asked
from tasks.load import engines, models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import mlflow_model, registry, tracking
from tests.flows.conftest import LABELS, MARKS, at_home, draw_phantoms
from tests.neuro.conftest import REAL, needs_real

CONFIG = TrainConfig(epochs=8)  # enough that an answer follows the picture
RGB = 'mode = "RGB"\nfit = "pad"\nintensity = "standard"\n'


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a path answers about one image; of what it does not tell, None."""

    decision: str
    predicted: str
    probabilities: tuple[float, ...]
    ood_score: float | None


Answers = Mapping[str, Told]  # by SHA-256 of the image


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A trained package, the files it was trained on by their SHA-256, and the batch's answers."""

    problem: Problem
    files: Mapping[str, Path]
    loaded: Loaded
    model: Model
    batch: Answers


def phantoms(folder: Path) -> str:
    draw_phantoms(folder / "delivery", LABELS, 30)
    return "brain"


def coloured(folder: Path) -> str:
    """JPEG photographs wider than high, shrunk while they are decoded."""
    for number, path in enumerate(
        draw_phantoms(folder / "delivery", ["a", "b"], 40).rglob("*.png")
    ):
        grey = Image.open(path).resize((230, 170))
        bands = [grey, grey.point(lambda value: value // 2), Image.new("L", grey.size, number)]
        Image.merge("RGB", bands).save(path.with_suffix(".jpg"), quality=90)
        path.unlink()
    (folder / "marks.toml").write_text(MARKS + RGB)
    return str(folder / "marks.toml")


def brain(folder: Path) -> str:
    """Grey and colour files, as they come."""
    return real(folder, "brain", "Training", 30)


def chest(folder: Path) -> str:
    return real(folder, "chest", "train", 45)


def real(folder: Path, dataset: str, split: str, each: int) -> str:
    for source in sorted(Path(REAL, dataset, split).iterdir()):
        kept = folder / "delivery" / split / source.name
        kept.mkdir(parents=True)
        files = sorted(source.iterdir())
        for path in files[:: len(files) // each]:
            shutil.copy(path, kept)
    return dataset


SOURCES = [
    phantoms,
    coloured,
    pytest.param(brain, marks=[pytest.mark.real, needs_real("brain")]),
    pytest.param(chest, marks=[pytest.mark.real, needs_real("chest")]),
]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store of MLflow's for this module, with pickles switched off."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        tracking.client.cache_clear()
        tracking.client().create_experiment("parity", str(folder / "artifacts"))
        yield
    tracking.client.cache_clear()


@pytest.fixture(scope="module", params=SOURCES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp(request.param.__name__)
    name = request.param(folder)
    with at_home(folder / "home"):
        ingest.fn(source=str(folder / "delivery"), problem=name)
        trained = train.fn(problem=name, config=CONFIG)["package"]
        exact = predict.fn(problem=name, model=trained, engine=EXACT)
        batch = pq.read_table(exact["predictions"])
        problem = problems.load(name)
        model = models.load(problem, trained)
        found = [path for path in (folder / "delivery").rglob("*") if path.is_file()]
        files = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in found}
        yield Case(
            problem=problem,
            files={row: files[row] for row in batch["sha256"].to_pylist()},
            loaded=release_data.load(
                release_data.open_lake(None), model.problem_as_trained(problem)
            ),
            model=model,
            batch={
                row["sha256"]: Told(
                    decision=row["decision"],
                    predicted=row["predicted"],
                    probabilities=tuple(row[f"p_{name}"] for name in problem.classes),
                    ood_score=row["ood_score"],
                )
                for row in batch.to_pylist()
            },
        )


def told(case: Case, ids: list[str], calibrated: Calibrated) -> Answers:
    """The contract's decision, worked out from the calibrated outputs alone."""
    found = {}
    for row, sample_id in enumerate(ids):
        is_odd = calibrated.ood_scores[row] > 1
        decision = "out_of_scope" if is_odd else "abstain"
        if calibrated.is_answered[row]:
            decision = "answer"
        found[sample_id] = Told(
            decision=decision,
            predicted=case.problem.classes[calibrated.called[row]],
            probabilities=tuple(calibrated.probabilities[row]),
            ood_score=float(calibrated.ood_scores[row]),
        )
    return found


def by_the_trained_network(case: Case) -> Answers:
    """The forward of training: torch, on the frames."""
    pixels, card = case.loaded.frames.pixels, case.model.package.card
    network = package.restore(case.model.package)
    with torch.inference_mode():
        tensor = torch.from_numpy(preprocess.to_tensor(pixels, card.preprocess))
        logits, embeddings = network(tensor)
    fitted = calibration.apply(card.calibration, logits.numpy(), embeddings.numpy(), pixels)
    return told(case, case.loaded.frames.sample_ids.tolist(), fitted)


def by_evaluation(case: Case) -> Answers:
    found: dict[str, Told] = {}
    for split in SPLITS:
        if not len(case.loaded.frames.labelled(split)):
            continue
        scored = evaluate.evaluate(
            case.model.engine, case.loaded.frames, split, model_version=case.model.version
        )
        assert scored.conformal_sets is not None
        assert scored.ood_scores is not None
        is_answered = calibration.answered(scored.conformal_sets, scored.ood_scores, scored.called)
        for row, sample_id in enumerate(scored.sample_ids.tolist()):
            odd = "out_of_scope" if scored.ood_scores[row] > 1 else "abstain"
            found[sample_id] = Told(
                decision="answer" if is_answered[row] else odd,
                predicted=scored.classes[scored.called[row]],
                probabilities=tuple(scored.probabilities[row]),
                ood_score=float(scored.ood_scores[row]),
            )
    return found


def by_the_graph(case: Case) -> Answers:
    """ONNX Runtime alone, from the bytes that were delivered."""
    card, folder = case.model.package.card, case.model.package.folder
    clean = [sanitize.clean(path.read_bytes()) for path in case.files.values()]
    pixels = np.stack([preprocess.frame(each.stored, card.preprocess) for each in clean])
    session = onnxruntime.InferenceSession(folder / package_manifest.ONNX)
    tensor = preprocess.to_tensor(pixels, card.preprocess)
    logits, embeddings = session.run(["logits", "embedding"], {"pixels": tensor})
    return told(
        case, list(case.files), calibration.apply(card.calibration, logits, embeddings, pixels)
    )


def by_explain(case: Case) -> Answers:
    """Three of the files; it tells the probability of the called class alone."""
    lake, name = release_data.open_lake(None), str(case.model.package.folder)
    found = {}
    for sample_id in sorted(case.files)[:3]:
        asked = Asked(model=name, image=str(case.files[sample_id]))
        (answer,) = explain.explain(lake, case.problem, asked).answers
        assert answer["sample_id"] == sample_id
        expected = list(case.batch[sample_id].probabilities)
        expected[case.problem.classes.index(answer["says"])] = answer["sure"]
        found[sample_id] = Told(
            decision=answer["decision"],
            predicted=answer["says"],
            probabilities=tuple(expected),
            ood_score=None,
        )
    return found


def by_mlflow(case: Case) -> Answers:
    """The registered version, as MLflow loads it by itself."""
    client = tracking.client()
    experiment = client.get_experiment_by_name("parity").experiment_id
    run = tracking.Run(run_id=client.create_run(experiment).info.run_id)
    mlflow_model.log(run, case.model.package)
    version = registry.register(run.run_id, case.problem.name, case.model.package).version
    served = mlflow.pyfunc.load_model(f"models:/neuro-{case.problem.name}/{version}")
    images = pd.DataFrame({"image": [path.read_bytes() for path in case.files.values()]})
    return {
        answer["sample_id"]: Told(
            decision=answer["decision"],
            predicted=answer["predicted"],
            probabilities=tuple(answer["probabilities"][name] for name in case.problem.classes),
            ood_score=answer["ood_score"],
        )
        for answer in served.predict(images)
    }


@pytest.mark.slow
@pytest.mark.usefixtures("tracked")
@pytest.mark.parametrize(
    ("path", "share"),
    [
        (by_the_trained_network, 1.0),
        (by_evaluation, 0.9),  # a few images bridge two splits and belong to none
        (by_the_graph, 1.0),
        (by_explain, 0.0),
        (by_mlflow, 1.0),
    ],
)
def test_the_same_bytes_get_the_same_answer_as_from_the_batch(
    case: Case, path: Callable[[Case], Answers], share: float
) -> None:
    found = path(case)
    assert len(found) >= max(3, share * len(case.batch))
    for sample_id, answer in found.items():
        expected = case.batch[sample_id]
        assert (answer.decision, answer.predicted) == (expected.decision, expected.predicted)
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=TOLERANCE)
        if answer.ood_score is not None:
            assert answer.ood_score == pytest.approx(expected.ood_score, rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(
    "openvino" not in runtimes.at_hand(), reason="this processor multiplies no bf16"
)
def test_in_bf16_each_image_is_called_the_same(case: Case) -> None:
    frames = case.loaded.frames
    engine = engines.opened(case.model, "openvino", frames.pixels, np.arange(1)).engine
    assert engine.runtime.name == "openvino"
    for answer in predictor.predict(engine, frames.pixels, frames.sample_ids, model_version="x"):
        expected = case.batch[answer.sample_id]
        assert answer.predicted == expected.predicted
        assert answer.probabilities == pytest.approx(
            expected.probabilities, abs=choose_runtime.TOLERANCE
        )


@pytest.mark.slow
def test_the_answers_that_are_compared_differ_from_image_to_image(case: Case) -> None:
    """Else every path would agree whatever it does to the pixels."""
    likeliest = [max(each.probabilities) for each in case.batch.values()]
    assert np.std(likeliest) > 20 * TOLERANCE
