import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError, SplitOverlapError, TrainingError
from neuro.images.preprocess import PreprocessSpec
from neuro.problems.problem import Augmentation, Problem
from neuro.splits import split_choice
from neuro.training import augment
from neuro.training import config as train_config
from neuro.training import trainer as training
from neuro.training.checkpoint import Checkpoint
from neuro.training.device import Machine
from neuro.training.loader import BatchLoader

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
CONFIG = train_config.TrainConfig(epochs=3, batch_size=16, learning_rate=4e-3, seed=1)


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
        preprocess_hash=PROBLEM.preprocess.sha256,
    )


def of_problem(frames: Frames, pixels: NDArray[np.uint8], problem: Problem) -> Frames:
    return replace(frames, pixels=pixels, preprocess_hash=problem.preprocess.sha256)


def trained(frames: Frames, config: train_config.TrainConfig = CONFIG) -> training.Trainer:
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


def test_a_run_that_mixes_images_continues_to_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    config = replace(CONFIG, mixup=0.4, cutmix=0.4, schedule="cosine")
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    whole, ended, again = (training.Trainer(discs(), PROBLEM, config) for _ in range(3))
    list(whole.epochs())
    going = ended.epochs(kept)
    next(going)
    going.close()
    list(again.epochs(kept))
    assert all(torch.equal(weights(again)[name], kept) for name, kept in weights(whole).items())


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


def test_each_epoch_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    batch = BatchLoader.batch

    def watched(self: BatchLoader, rows: NDArray[np.int64]) -> Any:
        seen.append(rows.tolist())
        return batch(self, rows)

    monkeypatch.setattr(BatchLoader, "batch", watched)
    trained(discs(), replace(CONFIG, epochs=2))
    assert len(seen) == 10
    assert seen[:5] != seen[5:]


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


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_loss_that_is_not_finite_stops_the_run_with_its_epoch_step_and_samples(
    clip: float,
) -> None:
    trainer = training.Trainer(discs(), PROBLEM, replace(CONFIG, clip=clip))
    epochs = trainer.epochs()
    next(epochs)
    with torch.no_grad():
        trainer.step.network.head.weight.fill_(torch.inf)
    with pytest.raises(
        TrainingError, match=r"in epoch 2 at step 6; lower.*samples (\d{4}, ){15}\d{4}$"
    ):
        next(epochs)


def test_a_batch_of_more_images_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size 91 is more than the 90 labelled images"):
        training.Trainer(discs(), PROBLEM, replace(CONFIG, batch_size=91))


def test_patience_ends_a_training_and_keeps_its_best_weights() -> None:
    config = replace(CONFIG, epochs=60, patience=3)
    trainer = training.Trainer(discs(), PROBLEM, config)
    kept, scores = [], []
    for epoch in trainer.epochs():
        kept.append({k: v.clone() for k, v in weights(trainer).items()})
        scores.append(epoch.macro_f1)
    best = int(np.argmax(scores))
    assert len(scores) == best + 1 + 3 < 60
    assert all(torch.equal(weights(trainer)[name], kept[best][name]) for name in kept[best])
    assert any(not torch.equal(kept[-1][name], kept[best][name]) for name in kept[best])


def test_an_ended_run_still_knows_its_best_weights(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=60, patience=3)
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    whole = trained(discs(), config)
    *_, last = training.Trainer(discs(), PROBLEM, config).epochs(kept)
    again = training.Trainer(discs(), PROBLEM, config)
    assert len(list(again.epochs(kept))) == last.number
    assert all(torch.equal(weights(again)[name], weights(whole)[name]) for name in weights(whole))


def test_views_grow_while_it_trains() -> None:
    frames, problem = discs(), replace(PROBLEM, preprocess=PreprocessSpec(size_px=64))
    large = of_problem(frames, frames.pixels.repeat(2, axis=1).repeat(2, axis=2), problem)
    config = replace(CONFIG, epochs=6, grow_from=0.5)
    sides = [epoch.size_px for epoch in training.Trainer(large, problem, config).epochs()]
    assert sides == [32, 32, 48, 64, 64, 64]


def test_views_gain_strength_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    view = augment.view

    def watched(images: Any, spec: Augmentation, *rest: Any) -> Any:
        seen.append(spec.shift)
        return view(images, spec, *rest)

    monkeypatch.setattr(augment, "view", watched)
    trained(discs(), replace(CONFIG, epochs=6, augment_from=0.0))
    assert sorted(set(seen)) == pytest.approx(
        [share * PROBLEM.augment.shift for share in (0, 0.25, 0.5, 0.75, 1)]
    )
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.02},
        {"loss": "focal", "clip": 1.0},
        {"loss": "binary", "sampler": "balanced"},
        {"loss": "plain", "mixup": 0.2, "cutmix": 0.2},
        {"model": "cnn", "optimizer": "adam", "weight_decay": 1e-4},
    ],
)
def test_every_recipe_learns_left_from_right(changes: dict[str, object]) -> None:
    *_, last = training.Trainer(
        discs(), PROBLEM, replace(CONFIG, epochs=12).changed(changes)
    ).epochs()
    assert last.accuracy == 1.0


def test_out_of_memory_halves_what_is_computed_at_once_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    size = 256
    frames, problem = discs(), replace(PROBLEM, preprocess=PreprocessSpec(size_px=size))
    large = of_problem(frames, frames.pixels.repeat(8, axis=1).repeat(8, axis=2), problem)
    config = replace(CONFIG, model="cnn", epochs=1, batch_size=64)
    trainer = training.Trainer(large, problem, config)
    with only_so_much_memory(500 << 20), caplog.at_level("WARNING"):
        (epoch,) = trainer.epochs()
    assert epoch.at_once < 64
    assert f"out of memory: from here {epoch.at_once} images at once" in caplog.text
    assert np.isfinite(epoch.loss)


@contextmanager
def only_so_much_memory(more: int) -> Iterator[None]:
    """This process may map so many bytes more than now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            "levit_128s",
            r".levit_128s. makes frames 64 times smaller, and of 40 px .*--size-px, or",
        ),
        ("xcit_nano_12_p16_224", r"cannot be built for frames of 40 px \(.patch_size. should"),
    ],
)
def test_a_model_that_takes_no_such_side_is_refused_before_training(model: str, told: str) -> None:
    problem = replace(PROBLEM, preprocess=PreprocessSpec(size_px=40))
    frames = discs()
    padded = np.pad(frames.pixels, ((0, 0), (4, 4), (4, 4), (0, 0)))
    frames = of_problem(frames, padded, problem)
    with pytest.raises(ConfigError, match=told):
        training.Trainer(frames, problem, replace(CONFIG, model=model))


def test_a_vision_transformer_is_built_for_the_side_of_the_frames() -> None:
    trainer = training.Trainer(discs(), PROBLEM, replace(CONFIG, model="vit_tiny_patch16_224"))
    assert trainer.network(torch.zeros(2, 1, 32, 32))[0].shape == (2, 2)


def test_only_the_given_test_split_may_share_groups_with_the_others() -> None:
    frames = replace(discs(), splitting=split_choice.parse("given"))
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


def test_frames_of_another_preprocess_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"these frames are of preprocess 0000.*build them again"):
        training.Trainer(replace(discs(), preprocess_hash="0000"), PROBLEM, CONFIG)


def test_a_step_in_parts_is_the_step_of_the_whole_batch() -> None:
    """Of a network without batch statistics, which would be those of a part."""
    config = replace(CONFIG, model="convnext_atto", optimizer="sgd", epochs=1, loss="weighted")
    exact = Machine(device="cpu", precision="f32")
    whole, parts = (
        training.Trainer(discs(), PROBLEM, config, fabric=exact.fabric()) for _ in range(2)
    )
    parts.step.at_once = 5
    list(whole.epochs())
    list(parts.epochs())
    for name, expected in weights(whole).items():
        assert torch.allclose(weights(parts)[name], expected, atol=1e-5), name


def test_what_fits_at_once_is_remembered(tmp_path: Path) -> None:
    kept = Checkpoint(path=tmp_path / "training.pt", key="k")
    trainer = training.Trainer(discs(), PROBLEM, CONFIG)
    trainer.step.at_once = 4
    going = trainer.epochs(kept)
    next(going)
    again = [epoch.at_once for epoch in training.Trainer(discs(), PROBLEM, CONFIG).epochs(kept)]
    assert again == [4, 4, 4]


def test_clipping_bounds_the_gradient_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, *rest: Any) -> Any:
        gradients = [w.grad for group in self.param_groups for w in group["params"]]
        norms.append(float(torch.nn.utils.get_total_norm(g for g in gradients if g is not None)))
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    config = replace(CONFIG, epochs=1, optimizer="sgd")
    trained(discs(), config)
    free, norms = norms, []
    trained(discs(), replace(config, clip=0.01))
    assert min(free) > 0.011
    assert max(norms) < 0.011


def test_the_kept_weights_are_the_mean_of_those_of_the_steps() -> None:
    """As written out: a share of what was kept, the rest of what is new."""
    trainer = training.Trainer(discs(), PROBLEM, replace(CONFIG, epochs=1))
    averaged = weights(trainer)["head.weight"].clone()
    for number, rows in enumerate(trainer.rows(1), 1):
        trainer.step(*trainer.loader.batch(rows))
        decay = min(CONFIG.ema_decay, number / (number + 10))
        newest = trainer.step.network.head.weight.detach()
        averaged = decay * averaged + (1 - decay) * newest
    assert trainer.step.steps_done == 5
    assert torch.allclose(weights(trainer)["head.weight"], averaged, atol=1e-6)


def test_no_decay_keeps_the_newest_weights() -> None:
    trainer = trained(discs(), replace(CONFIG, epochs=1, ema_decay=0.0))
    newest = trainer.step.network.state_dict()
    assert all(torch.equal(newest[name], kept) for name, kept in weights(trainer).items())
