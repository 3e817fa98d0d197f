"""A model keeps the decoder it learnt from when the problem takes another one."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.predict import predict
from flows.train import train
from neuro.errors import ConfigError
from neuro.lake import images
from neuro.models import package
from neuro.prediction import predict as predictor
from neuro.problems import problem as problems
from neuro.training.trainer import TrainConfig
from tasks.load import models, release_data
from tests.flows.conftest import MARKS, Draw

SIDE_PX = 200  # twice 1.5 times the frame and more: decoded small by the newer decoder


def problem_file(folder: Path, more: str = "") -> str:
    path = folder / f"marks{len(more)}.toml"
    path.write_text(MARKS + more)
    return str(path)


def as_jpegs(folder: Path) -> str:
    for path in folder.rglob("*.png"):
        with Image.open(path) as picture:
            large = picture.convert("RGB").resize((SIDE_PX, SIDE_PX))
        large.save(path.with_suffix(".jpg"), quality=90)
        path.unlink()
    return str(folder)


@pytest.fixture
def old(home: Path, draw: Draw, tmp_path: Path) -> str:
    """A package that learnt from frames of the older decoder."""
    asked = problem_file(tmp_path, 'decoder = "pillow-bilinear"\n')
    ingest.fn(problem=asked, source=as_jpegs(draw(["a", "b"], 30)))
    return str(train.fn(problem=asked, config=TrainConfig(epochs=1))["package"])


def test_an_old_package_answers_to_the_bit_as_before(old: str, tmp_path: Path) -> None:
    now = problem_file(tmp_path)
    got = pq.read_table(predict.fn(problem=now, model=old)["predictions"]).sort_by("sha256")

    loaded = release_data.load(release_data.open_lake(None), problems.load(now))
    ids = [sample.sample_id for sample in loaded.samples]
    stored = dict(images.stored_bytes(loaded.lake, loaded.release, ids))
    pixels = np.stack([pillow(stored[sample_id]) for sample_id in ids])
    engine = models.load(problems.load(now), old).engine
    expected = predictor.predict(engine, pixels, ids, model_version="")
    assert got["sha256"].to_pylist() == ids
    assert list(zip(got["p_a"].to_pylist(), got["p_b"].to_pylist(), strict=True)) == [
        tuple(one.probabilities) for one in expected
    ]
    assert not np.array_equal(loaded.frames.pixels, pixels)


def pillow(raw: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(raw)) as opened:
        grey = opened.convert("L").resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(grey)[..., None]


def test_an_old_package_is_scored_on_its_own_frames(old: str, tmp_path: Path) -> None:
    asked = evaluate.fn(problem=problem_file(tmp_path), model=old, split="val")
    before = problem_file(tmp_path, 'decoder = "pillow-bilinear"\n')
    assert asked["metrics"] == evaluate.fn(problem=before, model=old, split="val")["metrics"]


def test_a_release_is_decoded_again_only_for_another_decoder(old: str, tmp_path: Path) -> None:
    question = problems.load(problem_file(tmp_path))
    loaded = release_data.load(release_data.open_lake(None), question)
    asked = models.load(question, old).problem_as_trained(question)
    assert release_data.decoded_for(loaded, question) is loaded
    again = release_data.decoded_for(loaded, asked).frames
    assert again.preprocess_hash == asked.preprocess.sha256 != loaded.frames.preprocess_hash


def test_a_side_that_a_recipe_asked_for_is_the_models_own(old: str, tmp_path: Path) -> None:
    trained = train.fn(
        problem=problem_file(tmp_path), config=TrainConfig(epochs=1, model="cnn", size_px=40)
    )
    card = package.open_verified(Path(trained["package"])).card
    assert card.preprocess.size_px == 40
    answered = predict.fn(problem=problem_file(tmp_path), model=trained["package"])
    assert answered["n"] > 0
    assert evaluate.fn(problem=problem_file(tmp_path), model=trained["package"])["looks"] == 1


def test_another_size_is_still_refused(old: str, tmp_path: Path) -> None:
    other = Path(problem_file(tmp_path))
    other.write_text(other.read_text().replace("size_px = 32", "size_px = 48"))
    with pytest.raises(ConfigError, match="another preprocess"):
        predict.fn(problem=str(other), model=old)
