"""Maps beside answers, images of another source, and the card of a model, on phantoms."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.erase import erase
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.train import train
from neuro.errors import BadImageError, ConfigError
from neuro.lake import journal
from neuro.problems import problem as problems
from tasks import explain as steps
from tasks import model_card
from tasks.explain import Asked
from tasks.load import models, release_data
from tests.flows.conftest import LABELS, QUICK, Draw

BRAIN = problems.load("brain")


def explain(**asked: Any) -> dict[str, Any]:
    return steps.explain(release_data.open_lake(None), BRAIN, Asked(**asked)).as_dict()


def looks() -> int:
    return len(journal.entries(release_data.open_lake(None), "look"))


def test_the_page_of_an_evaluation_shows_maps_and_the_nearest_training_cases(model: str) -> None:
    page = Path(evaluate.fn(model=model, split="val")["report"]).read_text(encoding="utf-8")
    assert "map of what speaks for" in page
    assert "training image labelled" in page
    assert "Whether the maps can be believed is not known" in page


def test_the_errors_on_val_are_explained_without_a_look(model: str) -> None:
    told = explain(model=model)
    assert looks() == 0
    assert told["answers"]
    assert all(each["label"] != each["says"] for each in told["answers"])
    assert all(len(each["nearest"]) == 3 for each in told["answers"])
    page = Path(told["page"]).read_text(encoding="utf-8")
    assert told["answers"][0]["sample_id"] in page


def test_the_errors_on_test_are_a_counted_look(model: str) -> None:
    told = explain(model=model, split="test")
    assert looks() == 1
    assert told["looks"] in Path(told["page"]).read_text(encoding="utf-8")


def test_a_file_is_explained_and_not_stored(model: str, draw: Draw, home: Path) -> None:
    source = next(draw(["glioma"], 1, name="theirs", seed=9).rglob("*.png"))
    before = sorted(path for path in (home / "lake").rglob("*") if path.is_file())
    (answer,) = explain(model=model, image=str(source))["answers"]
    assert answer["label"] == ""
    assert answer["decision"] in ("answer", "abstain", "out_of_scope")
    assert sorted(path for path in (home / "lake").rglob("*") if path.is_file()) == before


def test_a_sample_is_explained_without_its_label_being_read(model: str) -> None:
    sample = release_data.load(release_data.open_lake(None), BRAIN).samples[0]
    told = explain(model=model, image=sample.sample_id[:12])
    assert told["answers"][0]["sample_id"] == sample.sample_id
    assert looks() == 0


def test_the_page_goes_when_an_image_of_its_release_is_erased(model: str) -> None:
    page = Path(explain(model=model)["page"])
    sample = release_data.load(release_data.open_lake(None), BRAIN).samples[0]
    removed = erase.fn(sample=sample.sample_id, reason="withdrawn")["removed"]
    assert str(page) in removed["pages"]
    assert not page.exists()
    assert "neuro explain --errors --split val --problem brain --model MODEL" in removed["redraw"]


@pytest.fixture
def theirs(draw: Draw) -> Path:
    return draw(LABELS, 6, name="theirs", seed=77)


def test_images_of_another_source_are_scored_without_a_look(model: str, theirs: Path) -> None:
    got = evaluate.fn(model=model, on=str(theirs))
    assert (got["split"], got["looks"], looks()) == ("external", 0, 0)
    assert got["external"].startswith("24 labelled images of folder theirs")
    assert "no patient ids" in got["external"]
    assert got["metrics"][0]["n"] == 24
    assert "another source" in Path(got["report"]).read_text(encoding="utf-8")


def test_nothing_of_another_source_is_kept_but_the_page(
    model: str, theirs: Path, home: Path
) -> None:
    before = {path for path in home.rglob("*") if path.is_file()}
    got = evaluate.fn(model=model, on=str(theirs))
    new = {path for path in home.rglob("*") if path.is_file()} - before
    card = model_card.path_of(models.load(BRAIN, model).package)
    assert new <= {Path(got["report"]), card, card.with_suffix(".json")}


def test_twins_of_what_the_model_knows_are_left_out_and_counted(
    model: str, theirs: Path, home: Path
) -> None:
    known = release_data.load(release_data.open_lake(None), BRAIN)
    row = int(known.frames.labelled("train")[0])
    label = known.samples[row].label
    picture = Image.fromarray(known.frames.pixels[row][..., 0])
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(theirs / label / "again.png")
    got = evaluate.fn(model=model, on=str(theirs))
    assert ", 1 left out as twins of what the model knows" in got["external"]
    assert got["metrics"][0]["n"] == 24


def test_a_release_of_another_dataset_is_scored(model: str, theirs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(OTHER, encoding="utf-8")
    ingest.fn(problem=str(other), source=str(theirs))
    got = evaluate.fn(model=model, on="other")
    assert (got["split"], got["metrics"][0]["n"], looks()) == ("external", 21, 0)
    assert "its test split of 3 left alone" in got["external"]


OTHER = """
name = "other"
dataset = "other"
classes = ["glioma", "meningioma", "notumor", "pituitary"]
intended_use = "Tests."
licence = "CC0"
citation = "none"
"""


def test_one_image_of_one_class_is_scored_and_said_to_say_little(model: str, draw: Draw) -> None:
    one = draw(["glioma"], 1, name="one", seed=5)
    got = evaluate.fn(model=model, on=str(one), stress=True)
    assert got["metrics"][0]["n"] == 1
    assert got["absent"] == ["meningioma", "notumor", "pituitary"]
    page = Path(got["report"]).read_text(encoding="utf-8")
    assert "There are too few groups to give an interval." in page


def test_a_refused_file_is_not_explained(model: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(BadImageError, match="is refused"):
        explain(model=model, image=str(broken))


def none_known(theirs: Path) -> str:
    shutil.rmtree(theirs)
    (theirs / "glioma").mkdir(parents=True)
    (theirs / "glioma" / "no.png").write_bytes(b"no image")
    return str(theirs)


def unknown_class(theirs: Path) -> str:
    (theirs / "glioma").rename(theirs / "astrocytoma")
    return str(theirs)


@pytest.mark.parametrize(
    ("on", "why"),
    [
        (none_known, "no image that passes vetting"),
        (unknown_class, "astrocytoma"),
        (lambda _: "nowhere", "no folder, and the lake has no dataset 'nowhere'"),
        (lambda _: "brain", "is the dataset that brain is trained on"),
    ],
)
def test_a_source_that_cannot_be_scored_is_refused_by_name(
    model: str, theirs: Path, on: Callable[[Path], str], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        evaluate.fn(model=model, on=on(theirs))


def test_another_source_beside_a_split_or_another_model_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="--on is a source of its own"):
        evaluate.fn(model=model, on="theirs", against=model)


def test_the_card_of_a_model_has_its_figures_cost_and_limits(model: str) -> None:
    evaluate.fn(model=model)
    page = model_card.path_of(models.load(BRAIN, model).package)
    told = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert [row["name"] for row in told["figures"]] == ["val", "test"]
    assert told["cost"]["energy"]["kwh"] > 0
    assert [row["split"] for row in told["data"]["population"]] == [
        "train",
        "val",
        "calibration",
        "test",
    ]
    text = page.read_text(encoding="utf-8")
    assert "for the authors" in text
    assert "It was not tested on images of another source." in text
    assert "nothing was measured" in text


def test_training_the_same_once_more_keeps_what_the_card_says_of_test(model: str) -> None:
    evaluate.fn(model=model)
    found = models.load(BRAIN, model).package
    assert train.fn(config=QUICK)["package"] == model
    told = json.loads(model_card.path_of(found).with_suffix(".json").read_text(encoding="utf-8"))
    assert [row["name"] for row in told["figures"]] == ["val", "test"]


def test_a_card_that_began_with_another_source_is_filled_by_its_own(
    model: str, theirs: Path
) -> None:
    path = model_card.path_of(models.load(BRAIN, model).package).with_suffix(".json")
    path.unlink()
    evaluate.fn(model=model, on=str(theirs))
    assert json.loads(path.read_text(encoding="utf-8"))["data"]["population"] == []
    evaluate.fn(model=model, split="val")
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["data"]["about"]["licence"]
    assert told["data"]["population"][0]["images"] > 0
    assert [row["name"] for row in told["figures"]] == ["external", "val"]


def test_a_sample_is_no_neighbour_of_itself_nor_is_its_group(model: str) -> None:
    known = release_data.load(release_data.open_lake(None), BRAIN)
    row = int(known.frames.labelled("train")[0])
    (answer,) = explain(model=model, image=str(known.frames.sample_ids[row]))["answers"]
    group = known.frames.groups[row]
    its_own = set(known.frames.sample_ids[known.frames.groups == group].tolist())
    assert not its_own & {near["sample_id"] for near in answer["nearest"]}


def test_a_card_of_another_package_is_not_believed(model: str) -> None:
    found = models.load(BRAIN, model).package
    path = model_card.path_of(found).with_suffix(".json")
    path.write_text('{"model": "another", "figures": {}}', encoding="utf-8")
    evaluate.fn(model=model, split="val")
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == found.digest
