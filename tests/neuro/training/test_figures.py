from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from neuro.evaluation import evaluate, metrics
from neuro.evaluation.evaluate import Evaluation
from neuro.training import figures
from neuro.training.trainer import Epoch
from tests.neuro.evaluation.test_evaluate import text_of
from tests.neuro.training.test_profiling import EPOCH

LEAK = "7 groups are in train too"


def answers(classes: Sequence[str], targets: Sequence[int]) -> Evaluation:
    """Random answers that lean towards the truth; two samples a group."""
    rng, n = np.random.default_rng(0), len(targets)
    scores = rng.random((n, len(classes))) + 0.5 * np.eye(len(classes))[list(targets)]
    chosen, truth = scores / scores.sum(axis=1, keepdims=True), np.array(targets)
    groups = np.array([f"g{i // 2}" for i in range(n)])
    return Evaluation(
        split="val",
        model_version="1",
        classes=tuple(classes),
        metrics=tuple(metrics.score(chosen, truth, groups, classes)),
        confusion=metrics.confusion(truth, chosen.argmax(axis=1), len(classes)),
        sample_ids=groups,
        groups=groups,
        targets=truth,
        probabilities=chosen,
    )


def epochs(n: int) -> list[Epoch]:
    return [
        replace(EPOCH, number=i, epochs=n, loss=1 / i, macro_f1=i / 10, accuracy=i / 9)
        for i in range(1, n + 1)
    ]


def test_curves_name_each_class_with_its_auroc_and_its_interval() -> None:
    found = answers(("healthy", "ill"), [0, 1] * 30)
    words = text_of(figures.draw_curves(found, title="Validation", synthetic=False))
    auroc = found.metric("auroc")
    for word in ("Validation", f"healthy: AUROC {auroc}, n 30", f"ill: AUROC {auroc}, n 30"):
        assert word in words
    assert "by chance 0.500" in words
    assert "synthetic" not in words


def test_a_class_is_drawn_against_the_others() -> None:
    found = answers(("a", "b", "c"), [0, 1, 2] * 10)
    sure = replace(found, probabilities=np.eye(3)[found.targets])
    roc = figures.draw_curves(sure, title="t", synthetic=False).axes[0]
    assert [line.get_label() for line in roc.lines[:3]] == [
        f"{name}: AUROC {figures.auroc(sure, name)}, n 10" for name in "abc"
    ]
    assert all(max(line.get_ydata()[line.get_xdata() == 0]) == 1 for line in roc.lines[:3])


def test_a_class_that_is_not_there_has_no_curve() -> None:
    words = text_of(
        figures.draw_curves(answers(("a", "b", "c"), [0, 2] * 10), title="t", synthetic=False)
    )
    assert "a: AUROC" in words
    assert "b: AUROC" not in words
    alone = figures.draw_curves(answers(("a", "b"), [0] * 10), title="t", synthetic=False)
    assert "AUROC" not in text_of(alone)


def test_of_many_classes_those_of_the_lowest_auroc_are_drawn() -> None:
    found = answers([f"c{i}" for i in range(22)], list(range(22)) * 4)
    words = text_of(figures.draw_curves(found, title="t", synthetic=False))
    every = {name: metric.value for name in found.classes if (metric := figures.auroc(found, name))}
    worst = sorted(every, key=lambda name: every[name])
    assert "20 of 22 classes" in words
    assert f"{worst[0]}: AUROC" in words
    assert f"{worst[-1]}: AUROC" not in words


def test_learning_is_drawn_by_epoch() -> None:
    figure = figures.draw_learning(epochs(5), title="train x", synthetic=False)
    loss, watched, rate, side = figure.axes
    assert list(loss.lines[0].get_ydata()) == [1 / i for i in range(1, 6)]
    assert [line.get_label() for line in watched.lines] == ["macro_f1", "accuracy"]
    assert list(rate.lines[0].get_ydata()) == [EPOCH.learning_rate] * 5
    assert list(side.lines[0].get_ydata()) == [16] * 5
    assert "5 of 5 epochs" in text_of(figure)


def curves() -> Figure:
    return figures.draw_curves(answers("ab", [0, 1] * 9), title="t", synthetic=True, note=LEAK)


def learning() -> Figure:
    return figures.draw_learning(epochs(2), title="t", synthetic=True, note=LEAK)


def confusion() -> Figure:
    return evaluate.draw_confusion(answers("ab", [0, 1] * 9), title="t", synthetic=True, note=LEAK)


@pytest.mark.parametrize("draw", [curves, learning, confusion])
def test_every_picture_says_what_must_be_said(draw: Callable[[], Figure]) -> None:
    words = " ".join(text_of(draw()).split())
    for word in ("Research use only", "synthetic images", LEAK):
        assert word in words
