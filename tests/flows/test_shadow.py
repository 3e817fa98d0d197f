"""A challenger that answers beside the champion without being shown, without a server."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.drift import drift
from flows.predict import predict
from flows.train import train
from neuro.errors import ConfigError, NeuroError, PackageError, UnknownNameError
from neuro.prediction import predict as predictor
from neuro.prediction import stored
from neuro.problems import problem as problems
from neuro.promotion.retrain_envelope import Envelope
from tasks import evaluate as evaluation
from tasks import promote
from tasks.load import models, release_data
from tests.flows.conftest import QUICK, at_home

BRAIN = problems.load("brain")


@pytest.fixture(scope="module")
def another(trained_once: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of another training on the same release."""
    folder = tmp_path_factory.mktemp("another") / "home"
    shutil.copytree(trained_once[0], folder)
    with at_home(folder):
        return Path(train.fn(config=replace(QUICK, seed=5))["package"])


@pytest.fixture
def challenger(model: str, another: Path, home: Path) -> str:
    """The same in the home of this test."""
    return str(shutil.copytree(another, home / "packages" / another.name))


def rows(version: str) -> dict[str, str]:
    """What a model is stored to have called each sample."""
    found = stored.rows(release_data.open_lake(None), BRAIN, version)
    return dict(zip(found["sha256"].to_pylist(), found["predicted"].to_pylist(), strict=True))


def version(package: str) -> str:
    return models.load(BRAIN, package).version


def test_the_shadow_is_stored_and_compared_and_shown_nowhere(
    model: str, challenger: str, home: Path
) -> None:
    got = predict.fn(model=model, shadow=challenger)
    ours, theirs = rows(version(model)), rows(version(challenger))
    assert (len(ours), len(theirs), got["n"], got["shadow"]["n"]) == (120, 120, 120, 120)
    flips = sum(ours[sample] != theirs[sample] for sample in ours)
    assert sum(got["shadow"]["flips"].values()) == flips > 0
    assert got["shadow"]["agreement"] == pytest.approx(1 - flips / 120)
    (written,) = (home / "predictions").iterdir()
    assert set(pq.read_table(written)["model_version"].to_pylist()) == {version(model)}
    assert sum(got["decisions"].values()) == 120


def test_a_second_time_nothing_is_predicted_and_the_comparison_is_the_same(
    model: str, challenger: str
) -> None:
    first, second = (predict.fn(model=model, shadow=challenger) for _ in range(2))
    assert (second["n"], second["shadow"]["predicted"]) == (0, 0)
    assert {**second["shadow"], "predicted": 120} == first["shadow"]


def test_days_of_what_the_model_was_trained_on_are_no_window(model: str) -> None:
    predict.fn(model=model)
    with pytest.raises(ConfigError, match=r"the 120 images .* which it was trained on"):
        drift.fn(model=model, days=3)


def test_a_window_of_drift_holds_the_champions_answers_alone(model: str, challenger: str) -> None:
    """Drift of the challenger has its own; neither counts an image twice."""
    predict.fn(model=model)
    release = release_data.load(release_data.open_lake(None), BRAIN).release.name
    alone = drift.fn(model=model, window=release)
    predict.fn(model=model, shadow=challenger)
    beside = drift.fn(model=model, window=release)
    assert beside["signals"] == alone["signals"]
    assert beside["reason"] == alone["reason"]


def test_a_shadow_that_fails_leaves_the_champions_answers_whole(
    model: str, challenger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shadow = predictor.predict, version(challenger)

    def broken(*args: object, model_version: str, **kwargs: object) -> object:
        if model_version == shadow:
            raise PackageError("NaN in the middle")
        return real(*args, model_version=model_version, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(predictor, "predict", broken)
    got = predict.fn(model=model, shadow=challenger)
    assert (got["n"], len(rows(version(model))), len(rows(shadow))) == (120, 120, 0)
    assert pq.read_table(got["predictions"]).num_rows == 120
    assert got["shadow"] == {"model_version": shadow, "failed": "NaN in the middle"}


def of_problem(package: str, name: str, home: Path) -> str:
    """A copy of a package whose card names another problem."""
    folder = shutil.copytree(package, home / "elsewhere")
    card = folder / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"problem": name}))
    lines = [
        f"{hashlib.sha256((folder / line.split()[1]).read_bytes()).hexdigest()}  {line.split()[1]}"
        for line in (folder / "MANIFEST.sha256").read_text().splitlines()
    ]
    (folder / "MANIFEST.sha256").write_text("".join(f"{line}\n" for line in lines))
    return str(folder)


def test_what_can_be_no_shadow_is_refused_before_anything_is_scored(model: str, home: Path) -> None:
    other, tumor = of_problem(model, "brain2", home), problems.load("brain_tumor")
    refused: list[tuple[str, type[NeuroError], str]] = [
        (model, ConfigError, "is the model that answers"),
        (other, ConfigError, "is a model of problem brain2, and this is brain"),
        ("7", UnknownNameError, "no package folder '7'"),
    ]
    for name, error, says in refused:
        with pytest.raises(error, match=says):
            predict.fn(model=model, shadow=name)
    two = str(train.fn(problem=tumor.name, config=QUICK)["package"])
    with pytest.raises(PackageError, match="problem brain asks for"):
        predict.fn(model=model, shadow=two)
    assert rows(version(model)) == {}


def test_a_promotion_tells_how_far_the_shadow_agreed(model: str, challenger: str) -> None:
    loaded = release_data.load(release_data.open_lake(None), BRAIN)
    looked = [evaluation.evaluate(loaded, models.load(BRAIN, each)) for each in (challenger, model)]
    entry = promote.promote(loaded, *looked, Envelope(), promote.BY_HAND)
    assert entry["shadow"] is None
    told = predict.fn(model=model, shadow=challenger)["shadow"]
    entry = promote.promote(loaded, *looked, Envelope(), promote.BY_HAND)
    assert entry["shadow"] == {key: told[key] for key in ("n", "agreement", "flips", "decisions")}
