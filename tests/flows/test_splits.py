"""Folds, given splits and baselines through the flows, without any server."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.train import train
from neuro.errors import ConfigError, TrainingError, UnknownNameError
from neuro.ingest import delivery
from neuro.lake import journal, releases
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.splits import split_choice
from neuro.synthetic import phantom
from tasks import evaluate as scoring
from tasks import ingest as steps
from tasks import promote as gate
from tasks.load import models, release_data
from tests.flows.conftest import LABELS, QUICK, Deliver, Draw

BRAIN = problems.load("brain")
NAMES = {"lookup", "confounds", "pixels_pca_logistic", "descriptors_boosting"}


@pytest.fixture
def leaking(tmp_path: Path) -> str:
    """Phantoms in Training/ and Testing/: 100 and 20, of which 8 are mirrored and 4 the very same.

    Each has a twin in Training/.
    """
    rng, folder = np.random.default_rng(0), tmp_path / "leaking"
    for kind, label in enumerate(LABELS):
        for part in ("Training", "Testing"):
            (folder / part / label).mkdir(parents=True)
        drawn = [phantom.draw(kind, rng) for _ in range(27)]
        for n, pixels in enumerate(drawn):
            part = "Training" if n < 25 else "Testing"
            Image.fromarray(pixels).save(folder / part / label / f"{n:02d}.png")
        for n in range(2):
            Image.fromarray(drawn[n][:, ::-1]).save(folder / "Testing" / label / f"m{n}.png")
        Image.fromarray(drawn[2]).save(folder / "Testing" / label / "same.png")
    delivery.write_note(folder, source="phantoms", is_synthetic=True)
    return str(folder)


def accuracy_of(figures: Any) -> float:
    return float(figures["accuracy"]["value"])


@pytest.mark.slow
def test_a_given_split_is_trained_and_scored_on_with_its_leak_beside(
    home: Path, leaking: str
) -> None:
    ingest.fn(source=leaking)
    trained = train.fn(config=QUICK, split="given")
    got = evaluate.fn(model=trained["package"])
    assert (got["splitting"], got["looks"], got["metrics"][0]["n"]) == ("given", 1, 20)
    assert got["leak"].startswith("given split: 12 of 20 test images have a twin in training, 12 a")
    assert package.open_verified(Path(trained["package"])).card.leak == got["leak"]
    assert trained["leak"] == got["leak"]
    assert got["baselines"]["lookup"]["accuracy"]["n"] == 20


@pytest.mark.slow
def test_what_a_given_split_trained_is_refused_by_the_gate_and_by_own_frames(
    home: Path, leaking: str
) -> None:
    ingest.fn(source=leaking)
    made = models.load(BRAIN, train.fn(config=QUICK, split="given")["package"])
    with pytest.raises(ConfigError, match=r"trained with --split given .* without --split"):
        gate.check(made)
    loaded = release_data.load(release_data.open_lake(None), BRAIN)
    with pytest.raises(ConfigError, match="own splits are asked for"):
        scoring.evaluate(loaded, made)
    assert journal.entries(Lake(str(home / "lake")), "look") == []


def test_a_fold_validates_on_other_images_and_tests_on_the_same(delivered: Deliver) -> None:
    delivered(30)
    lake = release_data.open_lake(None)
    folds = [
        release_data.load(lake, BRAIN, None, split_choice.parse(f"fold-{n}-of-3")).frames
        for n in (1, 2, 3)
    ]
    own = release_data.load(lake, BRAIN).frames
    val = [set(f.sample_ids[f.splits == "val"].tolist()) for f in folds]
    assert not val[0] & val[1]
    assert set.union(*val) == set(own.sample_ids[own.splits != "test"].tolist())
    for fold in folds:
        assert np.array_equal(fold.splits == "test", own.splits == "test")


@pytest.mark.slow
def test_a_fold_is_trained_and_evaluated_on_itself(delivered: Deliver) -> None:
    delivered(30)
    trained = train.fn(config=QUICK, split="fold-2-of-3")
    got = evaluate.fn(model=trained["package"], split="val")
    assert (got["splitting"], got["looks"], got["leak"]) == ("fold-2-of-3", 0, "")
    validated = {metric["name"]: metric for metric in trained["validation"]}
    assert accuracy_of(got["side_by_side"]["val"]) == validated["accuracy"]["value"]


@pytest.mark.slow
def test_evaluate_shows_train_validation_and_test_side_by_side_beside_the_baselines(
    delivered: Deliver,
) -> None:
    home = delivered(30)
    trained = train.fn(config=QUICK)
    assert set(trained["baselines"]) == NAMES
    assert {m["n"] for m in trained["validation"]} & {
        trained["baselines"]["lookup"]["accuracy"]["n"]
    }
    got = evaluate.fn(model=trained["package"])
    lake = Lake(str(home / "lake"))
    splits = releases.find(lake, "brain").passport["splits"]
    shown = got["side_by_side"]
    assert {name: shown[name]["n"] for name in shown} == {
        name: splits[name] for name in ("train", "val", "test")
    }
    own = {metric["name"]: metric for metric in got["metrics"]}
    assert shown["test"]["macro_f1"] == own["macro_f1"]
    assert set(got["baselines"]) == NAMES
    # The passport's own look-up on the test split is the same, worked out another way.
    assert accuracy_of(got["baselines"]["lookup"]) == pytest.approx(got["lookup"]["test"])


@pytest.mark.slow
def test_validation_alone_shows_nothing_of_the_test_split(home: Path, model: str) -> None:
    got = evaluate.fn(model=model, split="val")
    assert got["side_by_side"]["test"] is None
    assert journal.entries(Lake(str(home / "lake")), "look") == []


def test_a_source_without_splits_cannot_be_trained_on_as_given(delivered: Deliver) -> None:
    delivered(5)
    with pytest.raises(ConfigError, match="gives no splits; name their folders"):
        train.fn(config=QUICK, split="given")


def test_fewer_groups_than_folds_are_refused_with_both_numbers(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 2)))
    with pytest.raises(ConfigError, match=r"9 folds need at least 9 groups, and there are \d"):
        train.fn(config=QUICK, split="fold-1-of-9")


def test_too_few_groups_for_the_splits_are_refused_before_anything_is_computed(
    home: Path, draw: Draw
) -> None:
    ingest.fn(source=str(draw(LABELS, 1)))
    with pytest.raises(TrainingError, match=r"no training image of|no labelled sample under"):
        train.fn(config=QUICK)
    assert not Lake(str(home / "lake")).has("features_descriptors")


def test_an_unknown_splitting_is_refused_before_anything_is_read(home: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'given'"):
        train.fn(config=QUICK, split="gven")


def test_groups_that_a_later_delivery_joined_are_in_one_fold(home: Path, tmp_path: Path) -> None:
    """Two held pictures of one split, each a twin of the newcomer, which is their mean."""
    rng, first, later = np.random.default_rng(0), tmp_path / "first", tmp_path / "later"
    noise = {f"{n:02d}.png": rng.integers(0, 256, (32, 32)).astype(np.uint8) for n in range(24)}
    for number, (name, pixels) in enumerate(noise.items()):
        (first / LABELS[number % 4]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(first / LABELS[number % 4] / name)
    asked = replace(BRAIN, groups=replace(BRAIN.groups, twin_cosine=0.6))
    ingested(asked, first)
    lake = release_data.open_lake(None)
    held = release_data.load(lake, asked)
    pair = [s for s in held.samples if s.split == "train"][:2]
    a, b = (noise[sample.source_name.rpartition("/")[2]].astype(float) for sample in pair)
    (later / "notumor").mkdir(parents=True)
    Image.fromarray(((a + b) / 2).astype(np.uint8)).save(later / "notumor" / "between.png")
    ingested(asked, later)

    def groups(by: str) -> set[str]:
        frames = release_data.load(lake, asked, None, split_choice.parse(by)).frames
        return set(frames.groups[np.isin(frames.sample_ids, [s.sample_id for s in pair])].tolist())

    assert (len(groups("own")), len(groups("fold-1-of-3"))) == (2, 1)


def ingested(asked: Problem, folder: Path) -> None:
    lake, found = release_data.open_lake(None), delivery.read(folder, asked)
    manifest = steps.check_manifest.function(asked, found)
    staged = steps.stage.function(lake, asked, found, manifest)
    steps.publish.function(staged, steps.audit.function(staged), 0.0)
