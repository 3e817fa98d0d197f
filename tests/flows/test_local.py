"""The flows without any server: the same steps, called plainly."""

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.drift import drift
from flows.erase import erase
from flows.evaluate import evaluate
from flows.featurize import featurize
from flows.ingest import ingest
from flows.predict import predict
from flows.train import train
from neuro.errors import ConfigError, NeuroError, UnknownNameError
from neuro.images import preview
from neuro.lake import features, images, journal, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems import problem as problems
from neuro.training.config import TrainConfig
from tasks import explore
from tasks.featurize import DESCRIPTORS, DESCRIPTORS_HASH
from tasks.load import release_data
from tests.flows.conftest import LABELS, QUICK, Deliver, Draw

THREE_CLASSES = """
name = "shapes"
dataset = "shapes"
classes = ["red", "green", "blue"]
intended_use = "Tests."
licence = "CC0"
citation = "none"
[labels]
rot = "red"
gruen = "green"
blau = "blue"
[preprocess]
size_px = 48
"""


def test_a_delivery_becomes_a_release_whose_counts_add_up(home: Path, draw: Draw) -> None:
    got = ingest.fn(source=str(draw(LABELS, 5)))
    assert (got["seen"], got["accepted"], got["repeated"], got["quarantined"]) == (20, 20, 0, 0)


def test_the_same_delivery_again_is_the_same_release(home: Path, draw: Draw) -> None:
    folder = str(draw(LABELS, 5))
    first, second = ingest.fn(source=folder), ingest.fn(source=folder)
    assert (second["release"], second["repeated"]) == (first["release"], 20)


def test_an_empty_inbox_is_a_run_that_saw_nothing(home: Path) -> None:
    assert ingest.fn()["seen"] == 0


def test_an_empty_folder_that_was_named_is_a_bad_request(home: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ConfigError, match="holds no images"):
        ingest.fn(source=str(tmp_path / "nothing"))


def test_a_sixth_problem_with_renamed_classes_goes_through_the_loop(
    home: Path, draw: Draw, tmp_path: Path
) -> None:
    problem = tmp_path / "shapes.toml"
    problem.write_text(THREE_CLASSES)
    ingest.fn(problem=str(problem), source=str(draw(["rot", "gruen", "blau"], 30)))
    trained = train.fn(problem=str(problem), config=QUICK)
    done = predict.fn(problem=str(problem), model=trained["package"])
    table = pq.read_table(done["predictions"])
    assert set(table["predicted"].to_pylist()) <= {"red", "green", "blue"}
    assert table.num_rows == done["n"] == 90


def test_training_twice_gives_the_same_package(home: Path, model: str) -> None:
    shutil.rmtree(home / "packages")
    assert train.fn(config=QUICK)["package"] == model
    assert Path(model).is_dir()


def test_a_model_that_cannot_be_trained_costs_no_baselines(delivered: Deliver) -> None:
    """They are what a network is shown beside: nothing is computed for them before it is there."""
    home = delivered(30)
    with pytest.raises(ConfigError, match="no_such_net"):
        train.fn(config=TrainConfig(model="no_such_net"))
    lake = Lake(str(home / "lake"))
    ids = lake.read("samples", columns=["sha256"])["sha256"].to_pylist()
    assert len(features.missing(lake, DESCRIPTORS, DESCRIPTORS_HASH, ids)) == len(ids) == 120


def test_the_test_split_changes_nothing_in_the_package(home: Path, model: str) -> None:
    """Scramble its pixels in the cache: whoever read them would train another model."""
    cache = next((home / "frames").glob("*-*"))
    _scramble_test_rows(cache, Lake(str(home / "lake")))
    assert train.fn(config=QUICK)["package"] == model


def test_each_look_at_the_test_split_is_counted(model: str) -> None:
    looks = [evaluate.fn(model=model)["looks"] for _ in range(2)]
    assert looks == [1, 2]


def test_an_evaluation_leaves_a_page_which_an_erasure_takes_away(home: Path, model: str) -> None:
    page = Path(evaluate.fn(model=model)["report"])
    text = page.read_text()
    assert "look 1 at this test set, 1 by this model" in text
    shown = re.findall(r'data-sample="([0-9a-f]{64})"', text)
    removed = erase.fn(sample=shown[0], reason="consent withdrawn")["removed"]
    assert not page.exists()
    assert str(page.resolve()) in removed["pages"]
    assert "neuro evaluate --problem brain --model MODEL --split test" in removed["redraw"]


def test_two_models_are_compared_image_by_image_and_both_look(home: Path, model: str) -> None:
    other = train.fn(config=replace(QUICK, seed=QUICK.seed + 1))["package"]
    got = evaluate.fn(model=model, against=other)
    assert got["looks"] == 2
    beside = got["against"]
    n = got["metrics"][0]["n"]
    assert beside["differences"][0]["value"] == pytest.approx(
        (len(beside["gained"]) - len(beside["lost"])) / n
    )
    assert f"Beside model {beside['model'][:12]}" in Path(got["report"]).read_text()


def test_worse_pictures_are_shown_on_the_page(home: Path, model: str) -> None:
    got = evaluate.fn(model=model, split="val", stress=True)
    assert {row["strength"] for row in got["stress"]} == {0, 1, 2, 3, 4, 5}
    assert "With worse pictures" in Path(got["report"]).read_text()


def test_looking_at_validation_is_not_counted(home: Path, model: str) -> None:
    evaluate.fn(model=model, split="val")
    assert journal.entries(Lake(str(home / "lake")), "look") == []


def test_predicting_again_adds_nothing(model: str) -> None:
    assert [predict.fn(model=model)["n"] for _ in range(2)] == [120, 0]


def test_descriptors_are_computed_once(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 5)))
    assert [featurize.fn()["computed"] for _ in range(2)] == [20, 0]


@pytest.mark.slow
def test_a_drift_check_leaves_a_stored_verdict_and_a_page(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 60)))
    model = train.fn(config=QUICK)["package"]
    window = ingest.fn(source=str(draw([""], 40, name="later", seed=1)))["release"]
    predict.fn(model=model)
    got = drift.fn(model=model, window=window)
    stored = journal.entries(Lake(str(home / "lake")), "verdict")
    assert [entry.body["verdict"] for entry in stored] == [got["verdict"]]
    assert "Research use only" in Path(got["report"]).read_text()


@pytest.mark.slow
def test_a_window_with_labels_of_the_test_split_is_a_look(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 60)))
    model = train.fn(config=QUICK)["package"]
    window = ingest.fn(source=str(draw(LABELS, 20, name="later", seed=1)))["release"]
    predict.fn(model=model)
    drift.fn(model=model, window=window)
    (look,) = journal.entries(Lake(str(home / "lake")), "look")
    assert look.body["read_by"] == "drift"
    assert 0 < look.body["n"] < 80
    assert evaluate.fn(model=model)["looks"] == 2


@pytest.mark.slow
def test_an_erasure_draws_the_page_again_without_the_image_and_tells_nobody(
    home: Path, draw: Draw
) -> None:
    ingest.fn(source=str(draw(LABELS, 60)))
    model = train.fn(config=QUICK)["package"]
    window = ingest.fn(source=str(draw([""], 40, name="later", seed=1)))["release"]
    predict.fn(model=model)
    page = Path(drift.fn(model=model, window=window)["report"])
    lake = Lake(str(home / "lake"))
    gone = next(s for s in releases.samples(lake, releases.find(lake, "brain")) if not s.label)
    figures = features.read(lake, DESCRIPTORS, DESCRIPTORS_HASH, [gone.sample_id])[0]
    own = [text for text in map(repr, figures.tolist()) if len(text) > 8]  # none else has these
    assert [text for text in own if text in page.read_text()] == own != []
    assert f'href="{page.name}"' in (page.parent / "brain-index.html").read_text()
    before = journal.entries(lake, "verdict")
    removed = erase.fn(sample=gone.sample_id, reason="consent withdrawn")["removed"]
    heir = releases.find(lake, "brain").name
    passports = [home / "reports" / "passport" / f"{name}.html" for name in (window, heir)]
    assert removed["pages"] == [str(page), str(passports[0])]
    assert removed["redrawn"] == [str(page), str(passports[1])]
    assert removed["redraw"] == []
    assert [text for text in own if text in page.read_text()] == []
    assert journal.entries(lake, "verdict") == before
    # What was drawn again is of the release that took the place, and goes with it the next time.
    next_one = next(s for s in releases.samples(lake, releases.find(lake, "brain")) if not s.label)
    figures = features.read(lake, DESCRIPTORS, DESCRIPTORS_HASH, [next_one.sample_id])[0]
    own = [text for text in map(repr, figures.tolist()) if len(text) > 8]
    assert [text for text in own if text in page.read_text()] == own != []
    again = erase.fn(sample=next_one.sample_id, reason="consent withdrawn")["removed"]
    assert str(page) in again["redrawn"]
    assert [text for text in own if text in page.read_text()] == []


def test_an_erasure_draws_the_page_of_some_days_again_with_these_days(
    home: Path, draw: Draw
) -> None:
    ingest.fn(source=str(draw(LABELS, 60)))
    model = train.fn(config=QUICK)["package"]
    ingest.fn(source=str(draw([""], 40, name="later", seed=1)))
    predict.fn(model=model)
    told = drift.fn(model=model)
    page, lake = Path(told["report"]), Lake(str(home / "lake"))
    gone = next(s for s in releases.samples(lake, releases.find(lake, "brain")) if not s.label)
    removed = erase.fn(sample=gone.sample_id, reason="consent withdrawn")["removed"]
    assert str(page) in removed["redrawn"]
    assert removed["redraw"] == []
    assert told["window"] in page.read_text()


def test_a_verdict_is_stored_before_its_page_is_drawn(home: Path, draw: Draw) -> None:
    """An erasure finds pages by their verdicts, also that of a check that was cut off."""
    ingest.fn(source=str(draw(LABELS, 12)))
    model = train.fn(config=QUICK)["package"]
    window = ingest.fn(source=str(draw([""], 9, name="later", seed=1)))["release"]
    predict.fn(model=model)
    page = home / "reports" / f"brain-{window}.html"
    (page / "in the way").mkdir(parents=True)
    with pytest.raises(NeuroError, match="is a folder; name a file"):
        drift.fn(model=model, window=window)
    (line,) = journal.entries(Lake(str(home / "lake")), "verdict")
    assert line.body["report"] == str(page)


def test_every_ingest_leaves_a_passport_page(home: Path, draw: Draw) -> None:
    release = ingest.fn(source=str(draw(LABELS, 5)))["release"]
    page = (home / "reports" / "passport" / f"{release}.html").read_text()
    assert "Research use only" in page
    assert "Synthetic images" in page
    assert "<strong>20</strong>images" in page


def _pictures(lake: Lake, release: Release, sample_id: str) -> list[str]:
    """What a page has of a sample: its digest, and its picture as data."""
    ((_, stored),) = images.undamaged(lake, release, [sample_id])
    return [sample_id, base64.b64encode(preview.small(stored)).decode()]


def test_after_an_erasure_no_page_shows_the_image_and_the_pages_are_there_again(
    home: Path, draw: Draw
) -> None:
    question, lake = problems.load("brain"), Lake(str(home / "lake"))
    first = ingest.fn(source=str(draw(LABELS, 5)))["release"]
    ingest.fn(source=str(draw(["glioma"], 3, name="later", seed=1)))
    before = releases.find(lake, "brain")
    page = explore.draw(release_data.load(lake, question))
    earlier = home / "reports" / "passport" / f"{first}.html"
    untouched = earlier.read_bytes()
    new = {s.sample_id for s in releases.samples(lake, before) if s.entered == before.name}
    (gone, *_) = [sample_id for sample_id in new if sample_id in page.read_text()]
    own = _pictures(lake, before, gone)
    assert all(text in page.read_text() for text in own)
    removed = erase.fn(sample=gone, reason="consent withdrawn")["removed"]
    heir = releases.find(lake, "brain").name
    pages = {path.relative_to(home / "reports") for path in (home / "reports").rglob("*.html")}
    assert {str(each) for each in pages} == {
        f"passport/{first}.html",
        f"passport/{heir}.html",
        f"explore/brain/{heir}.html",
    }
    every = [(home / "reports" / each).read_text() for each in pages]
    assert [text for text in own if any(text in held for held in every)] == []
    assert earlier.read_bytes() == untouched
    assert (len(removed["pages"]), len(removed["redrawn"]), removed["redraw"]) == (2, 2, [])


def test_a_model_that_is_no_folder_needs_the_registry(home: Path, draw: Draw) -> None:
    ingest.fn(source=str(draw(LABELS, 5)))
    with pytest.raises(UnknownNameError, match="without servers"):
        predict.fn(model="champion")


def test_a_window_nobody_predicted_names_the_remedy(home: Path, model: str) -> None:
    window = releases.find(Lake(str(home / "lake")), "brain").name
    with pytest.raises(ConfigError, match="neuro predict"):
        drift.fn(model=model, window=window)


def _scramble_test_rows(cache: Path, lake: Lake) -> None:
    """Overwrite the test rows, and seal the cache anew so that it is taken for whole."""
    import hashlib

    rows = lake.read("samples", columns=["sha256", "split"]).sort_by("sha256").to_pylist()
    pixels = np.load(cache / "pixels.npy")
    pixels[[row["split"] == "test" for row in rows]] = 255 - pixels[0]
    np.save(cache / "pixels.npy", pixels)
    facts = json.loads((cache / "frames.json").read_text())
    facts["sha256"] = hashlib.sha256((cache / "pixels.npy").read_bytes()).hexdigest()
    (cache / "frames.json").write_text(json.dumps(facts))
