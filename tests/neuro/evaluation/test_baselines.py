"""Baselines: each learns what it is said to learn, from the train split alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from neuro.dataset.frames import Frames
from neuro.duplicates import near_duplicates
from neuro.evaluation import baselines
from neuro.evaluation.baselines import Baseline, Known

CLASSES = ("a", "b")
SIDE = 32


def data(n: int = 160) -> tuple[Frames, Known]:
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
    looks = near_duplicates.vectors([picture.tobytes() for picture in pixels])
    return frames, Known(looks=looks, confounds=rng.random((n, 3)), descriptors=rng.random((n, 4)))


def scored(frames: Frames, known: Known, splits: Sequence[str] = ("val",)) -> dict[str, Baseline]:
    asked = baselines.question(frames, splits)
    rows = asked.rows
    table = Known(
        looks=known.looks[rows],
        confounds=known.confounds[rows],
        descriptors=known.descriptors[rows],
    )
    found = baselines.score(frames, CLASSES, asked, table)
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
    frames, known = data()
    found = scored(frames, replace(known, **{name: frames.targets[:, None].astype(np.float32)}))
    assert accuracy(found[{"descriptors": "descriptors_boosting"}.get(name, name)]) == 1.0


def test_the_look_up_copies_the_nearest_train_picture_in_any_pose() -> None:
    frames, _ = data(16)
    pixels = np.random.default_rng(1).integers(0, 256, (16, SIDE, SIDE, 1)).astype(np.uint8)
    pixels[12] = np.rot90(pixels[3], axes=(0, 1))  # val, class a: its twin is b
    pixels[13] = pixels[5, :, ::-1]  # val, class b: its twin is b
    looks = near_duplicates.vectors([picture.tobytes() for picture in pixels])
    asked = baselines.question(frames, ("val",))
    answers = baselines.look_up(looks[:12], frames.targets[:12], looks[asked.asked["val"]], 2)
    assert answers.argmax(axis=1).tolist() == [1, 1]


def test_labels_and_pixels_outside_the_train_split_teach_nothing() -> None:
    frames, known = data()
    hidden = np.isin(frames.splits, ["test", "calibration"])
    pixels = frames.pixels.copy()
    pixels[hidden] = 255 - pixels[hidden]
    targets = np.where(frames.splits == "train", frames.targets, 1 - frames.targets)
    turned = scored(replace(frames, pixels=pixels, targets=targets), known)
    assert accuracy(turned["pixels_pca_logistic"]) == 0.0


def test_the_same_rows_give_the_same_scores_each_time() -> None:
    assert scored(*data()) == scored(*data())


def test_one_class_to_fit_on_leaves_the_look_up_and_reasons() -> None:
    frames, known = data()
    one = np.where((frames.splits == "train") & (frames.targets == 1), -1, frames.targets)
    found = scored(replace(frames, targets=one), known)
    assert accuracy(found["lookup"]) == 0.5
    assert {found[name].reason for name in baselines.NAMES if name != "lookup"} == {
        "the train split has one class only"
    }
    assert found["confounds"].as_dict()["accuracy"] is None


def test_a_class_that_only_the_asked_split_has_is_missed_and_breaks_nothing() -> None:
    frames, known = data()
    train = np.flatnonzero(frames.splits == "train")
    targets = frames.targets.copy()
    targets[train[targets[train] == 1]] = -1
    targets[train[::4]] = 2  # classes 0 and 2 to fit on, 0 and 1 to answer
    asked = baselines.question(replace(frames, targets=targets), ("val",))
    table = Known(
        looks=known.looks[asked.rows],
        confounds=known.confounds[asked.rows],
        descriptors=known.descriptors[asked.rows],
    )
    found = baselines.score(replace(frames, targets=targets), ("a", "b", "c"), asked, table)
    assert all(accuracy(baseline) <= 0.5 for baseline in found["val"])


def test_without_a_labelled_sample_every_baseline_says_why_it_has_no_figure() -> None:
    frames, known = data()
    empty = scored(replace(frames, targets=np.full(160, -1)), known)
    assert {b.reason for b in empty.values()} == {"the train split has no labelled sample"}
    no_val = np.where(frames.splits == "val", -1, frames.targets)
    assert {b.reason for b in scored(replace(frames, targets=no_val), known).values()} == {
        "the split has no labelled sample"
    }


def test_a_few_samples_are_enough_to_fit_on() -> None:
    assert {b.reason for b in scored(*data(16)).values()} == {""}
