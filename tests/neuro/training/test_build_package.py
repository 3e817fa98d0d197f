"""What leaves training is calibrated, verified, and answers as the network did."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuro.dataset.frames import Frames
from neuro.errors import TrainingError
from neuro.models import package, package_manifest
from neuro.prediction import predict
from neuro.problems import problem
from neuro.splits import split_choice
from neuro.synthetic import phantom
from neuro.training import build_package
from neuro.training.build_package import Origin
from neuro.training.config import TrainConfig
from neuro.training.trainer import Trainer

BRAIN = problem.load("brain")
CONFIG = TrainConfig(epochs=1, batch_size=8)


def frames(*splits: str) -> Frames:
    """Twelve phantoms of each split, every one a group of its own."""
    rng = np.random.default_rng(0)
    n = 12 * len(splits)
    targets = np.arange(n) % 4
    pixels = np.stack([phantom.draw(int(kind), rng) for kind in targets])[..., None]
    names = np.array([f"{row:03d}" for row in range(n)])
    return Frames(
        pixels=pixels,
        sample_ids=names,
        groups=names,
        splits=np.repeat(np.array(splits), 12),
        targets=targets.astype(np.int64),
        content_hash="c",
        preprocess_hash=BRAIN.preprocess.sha256,
    )


def origin() -> Origin:
    return Origin(
        pin={"release": "r", "tables": {}, "content_hash": "c"},
        code_revision="abc",
        synthetic=True,
    )


def trained(data: Frames) -> Trainer:
    trainer = Trainer(data, BRAIN, CONFIG)
    for _ in trainer.epochs():
        pass
    return trainer


def test_the_package_answers_like_the_network_that_was_sealed(tmp_path: Path) -> None:
    data = frames("train", "val", "calibration")
    network = trained(data).network
    made, validation = build_package.build(network, data, BRAIN, CONFIG, origin(), tmp_path)
    engine = predict.load(made)
    answers = predict.predict(engine, data.pixels[12:24], data.sample_ids[12:24], model_version="1")
    probabilities = np.array([answer.probabilities for answer in answers])
    assert np.allclose(probabilities, validation.probabilities, atol=1e-4)


def test_the_package_lies_in_a_folder_named_by_its_digest(tmp_path: Path) -> None:
    data = frames("train", "val", "calibration")
    made, _ = build_package.build(trained(data).network, data, BRAIN, CONFIG, origin(), tmp_path)
    assert made.folder.name == package_manifest.digest(made.folder)[:16]


def test_the_restored_network_averages_over_the_same_poses(tmp_path: Path) -> None:
    data = frames("train", "val", "calibration")
    network = trained(data).network
    network.averages_mirror, network.averages_flip = True, True
    made, _ = build_package.build(network, data, BRAIN, CONFIG, origin(), tmp_path)
    assert (made.card.averages_mirror, made.card.averages_flip) == (True, True)
    restored = package.restore(made)
    assert (restored.averages_mirror, restored.averages_flip) == (True, True)


def test_without_calibration_images_nothing_is_sealed(tmp_path: Path) -> None:
    data = frames("train", "val")
    with pytest.raises(TrainingError, match="calibration has no labelled sample"):
        build_package.build(trained(data).network, data, BRAIN, CONFIG, origin(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_which_splits_it_was_trained_on_and_what_leaks(tmp_path: Path) -> None:
    data = replace(frames("train", "val", "calibration"), splitting=split_choice.parse("given"))
    said = replace(origin(), leak="given split: 9 of 10 test images have a twin")
    made, _ = build_package.build(trained(data).network, data, BRAIN, CONFIG, said, tmp_path)
    assert (made.card.splitting, made.card.leak) == ("given", said.leak)


def test_what_is_in_scope_is_said_by_some_training_images_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = frames("train", "val", "calibration")
    network = trained(data).network
    asked: list[int] = []
    network.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
    whole, _ = build_package.build(network, data, BRAIN, CONFIG, origin(), tmp_path)
    of_all = sum(asked)
    monkeypatch.setattr(build_package, "REFERENCE", 8)
    some, _ = build_package.build(network, data, BRAIN, CONFIG, origin(), tmp_path)
    again, _ = build_package.build(network, data, BRAIN, CONFIG, origin(), tmp_path)
    assert some.digest == again.digest != whole.digest
    assert sum(asked) - of_all == 2 * (of_all - 4)  # 8 of the 12 of train were asked, twice


def test_what_tells_a_turned_picture_is_sealed_where_the_problem_has_an_upright(
    tmp_path: Path,
) -> None:
    data = frames("train", "val", "calibration")
    network = trained(data).network
    turns = replace(BRAIN, augment=replace(BRAIN.augment, flip=True))
    seen = [
        build_package.build(network, data, problem, CONFIG, origin(), tmp_path)[0].card
        for problem in (BRAIN, turns)
    ]
    assert [bool(card.calibration.upright.weights) for card in seen] == [True, False]
