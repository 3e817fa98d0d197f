from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuro import splitting, training
from neuro.checkpoint import Checkpoint
from neuro.errors import ConfigError, SplitOverlapError, TrainingError
from neuro.frames import Frames
from neuro.preprocess import PreprocessSpec
from neuro.problem import Augmentation, Problem

PROBLEM = Problem(
    name="discs",
    dataset="discs",
    classes=("left", "right"),
    labels={"left": "left", "right": "right"},
    intended_use="tests",
    licence="none",
    citation="none",
    preprocess=PreprocessSpec(size_px=32),
    augment=Augmentation(mirror=False, rotate_deg=5),
)
CONFIG = training.TrainConfig(epochs=3, batch_size=16, learning_rate=4e-3, seed=1)


def discs(n: int = 120) -> Frames:
    """Bright blobs in the left or right half; the last quarter is val, test and calibration.

    The labels of test and calibration are wrong: whoever reads them scores badly.
    """
    rng = np.random.default_rng(0)
    targets = np.arange(n) % 2
    axis = np.arange(32)
    columns, rows = 8 + 16 * targets + rng.normal(0, 1, n), rng.uniform(8, 24, n)
    far = np.hypot(axis - columns[:, None, None], axis[:, None] - rows[:, None, None])
    pixels = np.where(far < 5, 220, 20) + rng.integers(0, 20, (n, 32, 32))
    splits = np.full(n, "train", dtype="<U12")
    splits[-30:] = np.repeat(["val", "test", "calibration"], 10)
    targets[-20:] = 1 - targets[-20:]
    ids = np.array([f"{i:04d}" for i in range(n)])
    return Frames(
        pixels=pixels.astype(np.uint8)[..., None],
        sample_ids=ids,
        groups=ids,
        splits=splits,
        targets=targets.astype(np.int64),
        content_hash="",
        preprocess_hash="",
    )


def trained(frames: Frames, config: training.TrainConfig = CONFIG) -> training.Trainer:
    trainer = training.Trainer(frames, PROBLEM, config)
    for _ in trainer.epochs():
        pass
    return trainer


@pytest.fixture(scope="module")
def first() -> dict[str, torch.Tensor]:
    """Weights of the plain run, to compare others with."""
    return weights(trained(discs()))


def weights(trainer: training.Trainer) -> dict[str, torch.Tensor]:
    return dict(trainer.network.state_dict())


@pytest.mark.parametrize("ended_after", [1, 2, 3])
def test_a_run_that_was_ended_continues_to_the_same_weights_to_the_bit(
    first: dict[str, torch.Tensor], tmp_path: Path, ended_after: int
) -> None:
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    going = training.Trainer(discs(), PROBLEM, CONFIG).epochs(kept)
    told = [next(going) for _ in range(ended_after)]
    going.close()
    again = training.Trainer(discs(), PROBLEM, CONFIG)
    epochs = list(again.epochs(kept))
    assert epochs[:ended_after] == told
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert all(torch.equal(again.network.state_dict()[name], first[name]) for name in first)


def test_it_learns_left_from_right() -> None:
    trainer = training.Trainer(discs(), PROBLEM, replace(CONFIG, epochs=12))
    epochs = list(trainer.epochs())
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].accuracy == 1.0
    assert epochs[-1].macro_f1 == 1.0
    assert epochs[-1].loss < epochs[0].loss


def test_one_seed_gives_equal_weights_to_the_bit(first: dict[str, torch.Tensor]) -> None:
    again = weights(trained(discs()))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_another_seed_gives_other_weights(first: dict[str, torch.Tensor]) -> None:
    other = weights(trained(discs(), replace(CONFIG, seed=2)))
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_training_leaves_torchs_own_generator_alone() -> None:
    before = torch.random.get_rng_state()
    trained(discs(), replace(CONFIG, epochs=1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_pixels_outside_train_and_val_are_not_read(first: dict[str, torch.Tensor]) -> None:
    frames = discs()
    hidden = np.isin(frames.splits, ["test", "calibration"])
    pixels = frames.pixels.copy()
    pixels[hidden] = 255 - pixels[hidden]
    again = weights(trained(replace(frames, pixels=pixels)))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_val_split_moves_no_weight(first: dict[str, torch.Tensor]) -> None:
    frames = discs()
    targets = np.where(frames.splits == "val", 1 - frames.targets, frames.targets)
    again = weights(trained(replace(frames, targets=targets)))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_kept_network_is_in_evaluation_mode() -> None:
    assert not trained(discs(), replace(CONFIG, epochs=1)).network.training


def test_a_group_in_two_splits_is_refused() -> None:
    frames = discs()
    groups = frames.groups.copy()
    groups[-1] = groups[0]
    with pytest.raises(
        SplitOverlapError, match="group 0000 is in the splits calibration and train"
    ):
        training.Trainer(replace(frames, groups=groups), PROBLEM, CONFIG)


def test_no_labels_is_refused() -> None:
    frames = discs()
    with pytest.raises(TrainingError, match="no labelled image in the train split"):
        training.Trainer(replace(frames, targets=np.full(120, -1)), PROBLEM, CONFIG)


def test_a_class_without_training_images_is_named() -> None:
    frames = discs()
    targets = np.where((frames.splits == "train") & (frames.targets == 1), -1, frames.targets)
    with pytest.raises(TrainingError, match="no training image of right"):
        training.Trainer(replace(frames, targets=targets), PROBLEM, CONFIG)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_epoch_step_and_samples() -> None:
    trainer = training.Trainer(discs(), PROBLEM, CONFIG)
    epochs = trainer.epochs()
    next(epochs)
    with torch.no_grad():
        trainer._network.head.weight.fill_(torch.inf)
    with pytest.raises(
        TrainingError, match=r"in epoch 2 at step 6; lower.*samples (\d{4}, ){15}\d{4}$"
    ):
        next(epochs)


def test_a_model_of_one_fixed_size_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="cannot read frames of 32 px"):
        training.Trainer(discs(), PROBLEM, replace(CONFIG, model="vit_tiny_patch16_224"))


def test_epochs_of_zero_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="epochs must be 1 to 10000, got 0"):
        training.TrainConfig(epochs=0)


def test_only_the_given_test_split_may_share_groups_with_the_others() -> None:
    frames = replace(discs(), splitting=splitting.parse("given"))
    shared = frames.groups.copy()
    shared[frames.splits == "test"] = shared[0]
    training.Trainer(replace(frames, groups=shared), PROBLEM, CONFIG)
    shared[-1] = shared[0]
    with pytest.raises(SplitOverlapError, match="in the splits calibration and train"):
        training.Trainer(replace(frames, groups=shared), PROBLEM, CONFIG)


def test_fewer_groups_than_splits_names_the_empty_ones_before_training() -> None:
    frames = discs()
    splits = np.where(np.isin(frames.splits, ["val", "calibration"]), "none", frames.splits)
    groups = np.array([f"g{n % 2}" for n in range(120)])
    groups[frames.splits != "train"] = "g2"
    with pytest.raises(
        TrainingError, match=r"split val and calibration has no .* has 3 groups with a label"
    ):
        training.Trainer(replace(frames, splits=splits, groups=groups), PROBLEM, CONFIG)
