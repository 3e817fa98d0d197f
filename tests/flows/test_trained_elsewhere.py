"""What a model or its start was trained on in another lake is not scored on in this one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from flows.erase import erase
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.predict import predict
from flows.train import train
from neuro.errors import ConfigError
from neuro.evaluation import seen
from neuro.models import package, package_manifest, weights_store
from neuro.problems import problem as problems
from neuro.promotion.drift_policy import DriftPolicy
from neuro.training.config import DEFAULT_MODEL
from tasks import drift, featurize, retrain
from tasks import promote as promotion
from tasks.load import models, release_data, unseen
from tasks.load.release_data import Loaded
from tasks.load.start_weights import StartWeights
from tests.flows.conftest import LABELS, QUICK, Draw, at_home, draw_phantoms

BRAIN = problems.load("brain")
OPENED = ("val", "calibration", "test")


def loaded() -> Loaded:
    return release_data.load(release_data.open_lake(None), BRAIN)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, set[str]]:
    """A package trained in another lake, what that was delivered, and the names it trained on."""
    folder = tmp_path_factory.mktemp("elsewhere")
    source = draw_phantoms(folder / "theirs", LABELS, 20, seed=3)
    with at_home(folder / "home"):
        ingest.fn(source=str(source))
        made = train.fn(config=QUICK)["package"]
        there = loaded()
    names = {Path(there.samples[row].source_name).stem for row in there.frames.labelled("train")}
    return made, source, names


@pytest.fixture(scope="module")
def started_once(
    elsewhere: tuple[str, Path, set[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A home with their pictures among ours, and a training there that started from their model."""
    folder = tmp_path_factory.mktemp("started")
    made, source, _ = elsewhere
    torch.save(load_file(Path(made) / package_manifest.WEIGHTS), folder / "copied.pt")
    with at_home(folder / "home") as home:
        deliver(folder, source, as_they_are)
        return home, train.fn(config=QUICK, start=StartWeights(file=folder / "copied.pt"))


@pytest.fixture
def started(home: Path, started_once: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """That training, with its home as the home of this test."""
    source, result = started_once
    shutil.copytree(source, home)
    return result | {"package": str(home / "packages" / Path(result["package"]).name)}


def deliver(folder: Path, source: Path, save: Callable[[Path, Path], None]) -> None:
    """Their pictures in another form, between as many of our own."""
    ours = draw_phantoms(folder / "ours", LABELS, 30, seed=4)
    for path in source.rglob("*.png"):
        save(path, ours / path.parent.name / path.name)
    ingest.fn(source=str(ours))


def as_they_are(path: Path, copy: Path) -> None:
    shutil.copy(path, copy)


def in_another_format(path: Path, copy: Path) -> None:
    Image.open(path).save(copy.with_suffix(".tif"))


def mirrored(path: Path, copy: Path) -> None:
    """Copies of themselves beside their mirror images: a twin in this lake is among them."""
    shutil.copy(path, copy)
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(copy.with_suffix(".tif"))


@pytest.mark.parametrize("save", [as_they_are, in_another_format, mirrored])
def test_what_a_foreign_model_was_trained_on_is_not_scored_by_any_way_it_came(
    home: Path,
    tmp_path: Path,
    elsewhere: tuple[str, Path, set[str]],
    save: Callable[[Path, Path], None],
) -> None:
    made, source, names = elsewhere
    deliver(tmp_path, source, save)
    here = loaded()
    test = here.frames.labelled("test").tolist()
    seen = [row for row in test if Path(here.samples[row].source_name).stem in names]
    assert 0 < len(seen) < len(test)
    got = evaluate.fn(model=made)
    assert got["metrics"][0]["n"] == len(test) - len(seen)
    assert f"{len(seen)} of {len(test)} test images" in got["leak"]


def test_the_samples_of_a_group_that_was_trained_on_go_together(
    home: Path, tmp_path: Path, elsewhere: tuple[str, Path, set[str]]
) -> None:
    made, source, _ = elsewhere
    deliver(tmp_path, source, mirrored)
    here = loaded()
    left = unseen.for_models(here, models.load(BRAIN, made))
    changed = left.frames.splits != here.frames.splits
    assert changed.any()
    groups = set(here.frames.groups[changed])
    assert not groups & set(left.frames.groups[np.isin(left.frames.splits, OPENED)])


def test_its_own_lake_scores_a_model_on_every_sample(home: Path, model: str) -> None:
    here = loaded()
    got = evaluate.fn(model=model)
    assert got["metrics"][0]["n"] == len(here.frames.labelled("test"))
    assert got["leak"] == ""


def test_a_newcomer_between_two_splits_takes_nothing_out_of_what_its_lake_is_scored_on(
    home: Path, model: str
) -> None:
    """It is in the group of what trained, a twin of what tests, and in no split itself."""
    here, trained = loaded(), models.load(BRAIN, model).package.trained_on()
    trains, tests = (np.flatnonzero(here.frames.splits == split) for split in ("train", "test"))
    newcomer, group = int(tests[0]), here.samples[trains[0]].group_id
    samples, groups = list(here.samples), here.frames.groups.copy()
    samples[newcomer], groups[newcomer] = replace(samples[newcomer], group_id=group), group
    splits = here.frames.splits.copy()
    splits[newcomer] = "none"
    frames = replace(here.frames, groups=groups, splits=splits)
    found = seen.rows(here.lake, here.release, samples, frames, trained, twin_cosine=0.5)
    assert set(np.flatnonzero(found)) == {newcomer, *trains}


def test_where_nothing_is_left_to_score_on_that_is_said(
    home: Path, elsewhere: tuple[str, Path, set[str]], tmp_path: Path
) -> None:
    made, theirs, names = elsewhere
    source = shutil.copytree(theirs, tmp_path / "seen")
    for path in source.rglob("*.png"):
        if path.stem not in names:
            path.unlink()
    ingest.fn(source=str(source))
    with pytest.raises(ConfigError, match=r"nothing of test is left to score on: model .*left out"):
        evaluate.fn(model=made)


def test_weights_keep_what_they_were_trained_on_also_as_a_file_alone(
    started: dict[str, Any], elsewhere: tuple[str, Path, set[str]]
) -> None:
    made, _, names = elsewhere
    here = loaded()
    val = here.frames.labelled("val").tolist()
    seen = [row for row in val if Path(here.samples[row].source_name).stem in names]
    assert 0 < len(seen) < len(val)
    assert started["validation"][0]["n"] == len(val) - len(seen)
    assert f"{len(seen)} of {len(val)} val images" in started["leak"]
    kept = package.open_verified(Path(started["package"])).trained_on()
    assert kept[1:] == package.open_verified(Path(made)).trained_on()
    assert "test images" in evaluate.fn(model=started["package"])["leak"]


def without_hashes(made: str, path: Path) -> Path:
    """The weights of a package as an older version wrote them."""
    tensors = load_file(Path(made) / package_manifest.WEIGHTS)
    save_file({name: rows for name, rows in tensors.items() if "trained_on" not in name}, path)
    return path


def test_weights_that_do_not_say_what_they_were_trained_on_are_told_of_ever_after(
    started: dict[str, Any], elsewhere: tuple[str, Path, set[str]], tmp_path: Path
) -> None:
    older = without_hashes(elsewhere[0], tmp_path / "older.safetensors")
    again = train.fn(config=QUICK, start=StartWeights(file=older))
    third = train.fn(
        config=QUICK, start=StartWeights(file=Path(again["package"]) / package_manifest.WEIGHTS)
    )
    for figures in (again, third, evaluate.fn(model=again["package"])):
        assert "do not say what they were trained on" in figures["leak"]
    with pytest.raises(ConfigError, match="too old to say on what"):
        promotion.without_seen(loaded(), models.load(BRAIN, third["package"]), None)
    champion = models.load(BRAIN, again["package"])
    plan = retrain.plan(loaded().lake, BRAIN, champion, QUICK)
    with pytest.raises(ConfigError, match="the gate would take no successor"):
        retrain.setup(champion, plan)


def test_the_gate_takes_no_foreign_model_that_does_not_say_what_it_was_trained_on(
    started: dict[str, Any], elsewhere: tuple[str, Path, set[str]], tmp_path: Path
) -> None:
    opened = models.load(BRAIN, elsewhere[0])
    network = package.restore(opened.package)
    folder = package.save(tmp_path / "older", network, opened.package.card)
    with pytest.raises(ConfigError, match="too old to say on what"):
        promotion.without_seen(loaded(), models.load(BRAIN, str(folder)), None)
    assert "do not say what they were trained on" in evaluate.fn(model=str(folder))["leak"]


def test_an_older_package_of_this_lake_is_known_by_its_release(
    home: Path, model: str, tmp_path: Path
) -> None:
    opened = models.load(BRAIN, model)
    card = replace(opened.package.card, weights_sha256="")
    older = models.load(BRAIN, str(saved(tmp_path / "random", opened, card)))
    assert not unseen.is_untold(loaded(), older)
    card = replace(card, weights_sha256="0" * 64)
    started = models.load(BRAIN, str(saved(tmp_path / "started", opened, card)))
    assert unseen.is_untold(loaded(), started)


def saved(folder: Path, opened: models.Model, card: package.Card) -> Path:
    """The package with another card, and without hashes, as one of format 2."""
    older = replace(card, format_version=2)
    return package.save(folder, package.restore(opened.package), older)


def test_a_package_of_today_without_hashes_had_them_taken_out(
    home: Path, model: str, tmp_path: Path
) -> None:
    opened = models.load(BRAIN, model)
    network = package.restore(opened.package)
    folder = package.save(tmp_path / "untold", network, opened.package.card)
    assert unseen.is_untold(loaded(), models.load(BRAIN, str(folder)))


def test_what_was_left_out_cannot_be_asked_for(home: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="no split 'none'"):
        evaluate.fn(model=model, split="none")


def test_a_given_split_of_another_lake_is_not_taken_for_the_same(
    home: Path, draw: Draw, tmp_path: Path
) -> None:
    """Both lakes hold the same samples, labels and groups; the source's folders are swapped."""
    made = []
    for place, folders in (("a", ("Training", "Testing")), ("b", ("Testing", "Training"))):
        source = draw(LABELS, 24, name=f"half-{place}", seed=5)
        for number, path in enumerate(sorted(source.rglob("*.png"))):
            moved = source / folders[number % 2] / path.parent.name / path.name.split("_", 1)[1]
            moved.parent.mkdir(parents=True, exist_ok=True)
            path.rename(moved)
        with at_home(tmp_path / place):
            ingest.fn(source=str(source))
            made.append(train.fn(config=QUICK, split="given"))
    with at_home(tmp_path / "b"):
        whole, foreign = (evaluate.fn(model=each["package"]) for each in reversed(made))
    assert "left out" not in whole["leak"]
    assert f"{48 - foreign['metrics'][0]['n']} of 48 test images" in foreign["leak"]
    assert foreign["metrics"][0]["n"] < whole["metrics"][0]["n"] == 48


def test_the_gate_compares_two_models_on_what_neither_was_trained_on(
    started: dict[str, Any], elsewhere: tuple[str, Path, set[str]]
) -> None:
    challenger = models.load(BRAIN, started["package"])
    foreign = models.load(BRAIN, elsewhere[0])
    left = promotion.without_seen(loaded(), challenger, foreign)
    scored, beside = promotion.evaluate(left, challenger, foreign, {})
    assert f"model {foreign.version[:12]}: left out" in scored.leak
    assert beside is not None
    n_test = len(loaded().frames.labelled("test"))
    assert len(scored.evaluation.targets) == len(beside.evaluation.targets) < n_test


def test_an_erasure_names_what_was_trained_on_the_image_elsewhere(
    home: Path, started: dict[str, Any], elsewhere: tuple[str, Path, set[str]]
) -> None:
    (made, _, names), again = elsewhere, started["package"]
    foreign = shutil.copytree(made, home / "packages" / Path(made).name)
    (start,) = (home / "weights").iterdir()
    added = weights_store.add(
        home / "weights", Path(made) / package_manifest.WEIGHTS, DEFAULT_MODEL
    ).path
    here = loaded()
    (one,) = [each for each in here.samples if Path(each.source_name).stem == min(names)]
    other = next(each for each in here.samples if "ours" in each.source_name)
    got = erase.fn(sample=other.sample_id, reason="consent withdrawn")
    assert (got["packages"], got["weights"]) == ([again], [])  # its release held the image
    got = erase.fn(sample=one.sample_id, reason="consent withdrawn")
    assert set(got["packages"]) == {again, str(foreign)}
    assert got["weights"] == sorted([str(start), str(added)])


def test_drift_is_measured_on_what_the_model_was_not_trained_on(
    started: dict[str, Any], elsewhere: tuple[str, Path, set[str]]
) -> None:
    made, _, names = elsewhere
    here, foreign = loaded(), models.load(BRAIN, made)
    featurize.describe(here)
    predict.fn(model=made)
    compared = drift.observe(here, foreign, here.release.name, 7.0, DriftPolicy())
    unseen_rows = [Path(each.source_name).stem not in names for each in here.samples]
    assert len(compared.window.correct) == sum(unseen_rows)
    held_out = np.isin(here.frames.splits, ("val", "calibration"))
    assert len(compared.reference.correct) == int((held_out & unseen_rows).sum())
    assert "left out" in drift.judge(compared, DriftPolicy()).reason


def test_the_drift_of_its_own_lake_counts_new_pictures_of_those_it_was_trained_on(
    home: Path, model: str, draw: Draw
) -> None:
    first = draw(LABELS, 30)  # what the model's lake was delivered
    for path in first.rglob("*.png"):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    later = ingest.fn(source=str(first))
    here, opened = loaded(), models.load(BRAIN, model)
    assert "train" in here.frames.splits[here.entered() == later["release"]]
    featurize.describe(here)
    predict.fn(model=model)
    compared = drift.observe(here, opened, later["release"], 7.0, DriftPolicy())
    assert len(compared.window.correct) == later["accepted"] > 0
    assert compared.note == ""


def test_folds_say_what_their_start_had_seen(
    started: dict[str, Any], elsewhere: tuple[str, Path, set[str]]
) -> None:
    start = StartWeights(file=Path(elsewhere[0]) / package_manifest.WEIGHTS)
    got = train.fn(config=QUICK, folds=3, start=start)
    assert got["leak"].count("val images") == 3
