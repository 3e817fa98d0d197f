from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError
from neuro.evaluation import evaluate
from neuro.images.preprocess import PreprocessSpec
from neuro.models import package
from neuro.models.package import Card
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.splits import split_choice
from neuro.uncertainty import calibration

SPEC = PreprocessSpec(size_px=16)


class Brightness(nn.Module):
    """Calls the third of the brightness range an image lies in."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([1 / 6, 3 / 6, 5 / 6]))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = images.mean(dim=(1, 2, 3)).unsqueeze(1)
        return -20 * (mean - self.centres).abs(), mean


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 3))
    card = Card(
        problem="light",
        dataset="light",
        architecture="brightness",
        classes=("dark", "grey", "bright"),
        preprocess=SPEC,
        calibration=calibration.fit(logits, rng.normal(size=(40, 1)), logits.argmax(axis=1)),
        pin={"release": "r1", "content_hash": "0" * 64},
        code_revision="",
        training={},
        metrics=(),
        synthetic=True,
        intended_use="tests",
    )
    folder = package.save(tmp_path_factory.mktemp("p") / "model", Brightness(), card)
    return predict.load(package.open_verified(folder))


def frames() -> Frames:
    """Seven rows: four labelled test samples of three groups, called dark, grey, bright, bright."""
    levels = [0, 20, 128, 250, 240, 0, 128]
    return Frames(
        pixels=np.stack([np.full((16, 16, 1), level, dtype=np.uint8) for level in levels]),
        sample_ids=np.array([f"s{i}" for i in range(7)]),
        groups=np.array(["g0", "g1", "g2", "g3", "g3", "g5", "g6"]),
        splits=np.array(["train", "test", "test", "test", "test", "test", "val"]),
        targets=np.array([0, 0, 1, 2, 1, -1, 1]),
        content_hash="",
        preprocess_hash=SPEC.sha256,
    )


def test_only_labelled_samples_of_the_split_are_counted(engine: Engine) -> None:
    found = evaluate.evaluate(engine, frames(), "test", model_version="3")
    assert found.sample_ids.tolist() == ["s1", "s2", "s3", "s4"]
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert (found.split, found.model_version) == ("test", "3")


def test_accuracy_counts_three_of_four_in_three_groups(engine: Engine) -> None:
    accuracy = evaluate.evaluate(engine, frames(), "test", model_version="3").metric("accuracy")
    assert accuracy is not None
    assert (accuracy.value, accuracy.n, accuracy.groups) == (0.75, 4, 3)


def test_probabilities_are_those_of_predict(engine: Engine) -> None:
    found = evaluate.evaluate(engine, frames(), "test", model_version="3")
    predicted = predict.predict(
        engine, frames().pixels[1:5], frames().sample_ids[1:5], model_version="3"
    )
    assert found.probabilities.tolist() == [list(p.probabilities) for p in predicted]


def test_chosen_rows_narrow_the_evaluation(engine: Engine) -> None:
    found = evaluate.evaluate(engine, frames(), "test", model_version="3", rows=np.array([2, 4]))
    assert found.sample_ids.tolist() == ["s2", "s4"]


def test_taking_some_samples_scores_them_alone(engine: Engine) -> None:
    whole = evaluate.evaluate(engine, frames(), "test", model_version="3")
    part = whole.take(np.array([True, False, False, True]))
    assert part.sample_ids.tolist() == ["s1", "s4"]
    assert part.confusion.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    accuracy = part.metric("accuracy")
    assert accuracy is not None
    assert (accuracy.value, accuracy.n, part.model_version) == (0.5, 2, "3")


def test_answers_of_folds_pool_into_what_one_evaluation_of_all_would_be(engine: Engine) -> None:
    whole = evaluate.evaluate(engine, frames(), "test", model_version="3")
    odd = np.array([True, False, False, True])
    pooled = evaluate.pool([whole.take(odd), whole.take(~odd)])
    assert (pooled.split, sorted(pooled.sample_ids)) == ("folds", ["s1", "s2", "s3", "s4"])
    assert pooled.confusion.tolist() == whole.confusion.tolist()
    assert {m.name: m.value for m in pooled.metrics} == {m.name: m.value for m in whole.metrics}
    assert pooled.metric("accuracy").groups == 3  # type: ignore[union-attr]


def test_a_sample_in_two_folds_is_refused(engine: Engine) -> None:
    whole = evaluate.evaluate(engine, frames(), "test", model_version="3")
    with pytest.raises(ConfigError, match="in two of the folds"):
        evaluate.pool([whole, whole])


@pytest.mark.parametrize("row", [0, 5])
def test_rows_outside_the_split_or_without_label_are_refused(engine: Engine, row: int) -> None:
    with pytest.raises(ConfigError, match="not labelled samples of split 'test'"):
        evaluate.evaluate(engine, frames(), "test", model_version="3", rows=np.array([row]))


def test_a_split_without_labels_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="'calibration' has no labelled sample"):
        evaluate.evaluate(engine, frames(), "calibration", model_version="3")


def test_frames_of_another_preprocess_are_refused(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="build the frames again"):
        evaluate.evaluate(engine, replace(frames(), preprocess_hash="0"), "test", model_version="3")


def test_a_package_is_scored_on_no_other_splitting_than_its_own(engine: Engine) -> None:
    given = replace(frames(), splitting=split_choice.parse("given"))
    with pytest.raises(ConfigError, match="trained with --split own, and given splits are asked"):
        evaluate.evaluate(engine, given, "test", model_version="1")


def test_a_fold_is_scored_on_no_other_release_than_it_was_drawn_for(engine: Engine) -> None:
    pin = {"release": "brain-0001", "content_hash": "c1"}
    card = replace(engine.package.card, splitting="fold-1-of-3", pin=pin)
    here = replace(frames(), splitting=split_choice.parse("fold-1-of-3"), content_hash="c1")
    evaluate.require_same_splitting(card, here)
    with pytest.raises(ConfigError, match="give --release brain-0001"):
        evaluate.require_same_splitting(card, replace(here, content_hash="c2"))


def test_the_name_of_a_splitting_is_no_split_to_score_on(engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"no split 'given': .* train, val, calibration, test"):
        evaluate.evaluate(engine, frames(), "given", model_version="1")
