"""Baselines: each learns what it is said to learn, from the train split alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from neuro.dataset.frames import Frames
from neuro.duplicates import twins
from neuro.evaluation import baselines
from neuro.evaluation.baselines import Baseline, Inputs

CLASSES = ("a", "b")
SIDE = 32


def data(n: int = 160) -> tuple[Frames, Inputs]:
    """Noise whose upper half is bright in class b; its confounds and descriptors are chance.

    Rows alternate between the classes; the last quarter is val, then test.
    """
    rng = np.random.default_rng(0)
    targets = np.arange(n) % 2
    pixels = rng.integers(0, 120, (n, SIDE, SIDE, 1)).astype(np.uint8)
    pixels[targets == 1, : SIDE // 2] += 60
    splits = np.array(["train"] * (n - n // 4) + ["val"] * (n // 8) + ["test"] * (n // 8))
    ids = np.array([f"{row:03d}" for row in range(n)])
    frames = Frames(
        pixels=pixels,
        sample_ids=ids,
        groups=ids,
        splits=splits,
        targets=targets.astype(np.int64),
        content_hash="",
        preprocess_hash="",
    )
    thumbnails = twins.vectors([picture.tobytes() for picture in pixels])
    return frames, Inputs(
        thumbnails=thumbnails, confounds=rng.random((n, 3)), descriptors=rng.random((n, 4))
    )


def scored(frames: Frames, inputs: Inputs, splits: Sequence[str] = ("val",)) -> dict[str, Baseline]:
    selection = baselines.select(frames, splits)
    rows = selection.rows
    table = Inputs(
        thumbnails=inputs.thumbnails[rows],
        confounds=inputs.confounds[rows],
        descriptors=inputs.descriptors[rows],
    )
    found = baselines.score(frames, CLASSES, selection, table)
    return {baseline.name: baseline for baseline in found[splits[-1]]}


def accuracy(found: Baseline) -> float:
    return next(metric.value for metric in found.metrics if metric.name == "accuracy")


def test_pixels_tell_the_classes_apart_and_chance_columns_do_not() -> None:
    found = scored(*data())
    assert accuracy(found["pixels_pca_logistic"]) == 1.0
    assert abs(accuracy(found["confounds"]) - 0.5) <= 0.25
    assert abs(accuracy(found["descriptors_boosting"]) - 0.5) <= 0.25


@pytest.mark.parametrize("name", ["confounds", "descriptors"])
def test_a_column_that_is_the_class_is_learnt(name: str) -> None:
    frames, inputs = data()
    found = scored(frames, replace(inputs, **{name: frames.targets[:, None].astype(np.float32)}))
    assert accuracy(found[{"descriptors": "descriptors_boosting"}.get(name, name)]) == 1.0


def test_the_look_up_copies_the_nearest_train_picture_in_any_pose() -> None:
    frames, _ = data(16)
    pixels = np.random.default_rng(1).integers(0, 256, (16, SIDE, SIDE, 1)).astype(np.uint8)
    pixels[12] = np.rot90(pixels[3], axes=(0, 1))  # val, class a: its twin is b
    pixels[13] = pixels[5, :, ::-1]  # val, class b: its twin is b
    thumbnails = twins.vectors([picture.tobytes() for picture in pixels])
    selection = baselines.select(frames, ("val",))
    answers = baselines.look_up(
        thumbnails[:12], frames.targets[:12], thumbnails[selection.scored["val"]], 2
    )
    assert answers.argmax(axis=1).tolist() == [1, 1]


def test_labels_and_pixels_outside_the_train_split_teach_nothing() -> None:
    frames, inputs = data()
    hidden = np.isin(frames.splits, ["test", "calibration"])
    pixels = frames.pixels.copy()
    pixels[hidden] = 255 - pixels[hidden]
    targets = np.where(frames.splits == "train", frames.targets, 1 - frames.targets)
    turned = scored(replace(frames, pixels=pixels, targets=targets), inputs)
    assert accuracy(turned["pixels_pca_logistic"]) == 0.0


def test_the_same_rows_give_the_same_scores_each_time() -> None:
    assert scored(*data()) == scored(*data())


def test_one_class_to_fit_on_leaves_the_look_up_and_reasons() -> None:
    frames, inputs = data()
    one = np.where((frames.splits == "train") & (frames.targets == 1), -1, frames.targets)
    found = scored(replace(frames, targets=one), inputs)
    assert accuracy(found["lookup"]) == 0.5
    assert {found[name].reason for name in baselines.NAMES if name != "lookup"} == {
        "the train split has one class only"
    }
    assert found["confounds"].as_dict()["accuracy"] is None


def test_a_class_that_only_the_asked_split_has_is_missed_and_breaks_nothing() -> None:
    frames, inputs = data()
    train = np.flatnonzero(frames.splits == "train")
    targets = frames.targets.copy()
    targets[train[targets[train] == 1]] = -1
    targets[train[::4]] = 2  # classes 0 and 2 to fit on, 0 and 1 to answer
    selection = baselines.select(replace(frames, targets=targets), ("val",))
    table = Inputs(
        thumbnails=inputs.thumbnails[selection.rows],
        confounds=inputs.confounds[selection.rows],
        descriptors=inputs.descriptors[selection.rows],
    )
    found = baselines.score(replace(frames, targets=targets), ("a", "b", "c"), selection, table)
    assert all(accuracy(baseline) <= 0.5 for baseline in found["val"])


def test_without_a_labelled_sample_every_baseline_says_why_it_has_no_figure() -> None:
    frames, inputs = data()
    empty = scored(replace(frames, targets=np.full(160, -1)), inputs)
    assert {b.reason for b in empty.values()} == {"the train split has no labelled sample"}
    no_val = np.where(frames.splits == "val", -1, frames.targets)
    assert {b.reason for b in scored(replace(frames, targets=no_val), inputs).values()} == {
        "the split has no labelled sample"
    }


def test_a_few_samples_are_enough_to_fit_on() -> None:
    assert {b.reason for b in scored(*data(16)).values()} == {""}
