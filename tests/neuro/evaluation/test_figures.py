from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from neuro.evaluation import figures, metrics
from neuro.evaluation.evaluate import Evaluation
from tests.neuro.test_escaped_names import ODD

LEAK = "7 groups are in train too"


def text_of(figure: Figure) -> str:
    return " ".join(found.get_text() for found in figure.findobj(Text) if isinstance(found, Text))


def answers(classes: Sequence[str], targets: Sequence[int]) -> Evaluation:
    """Random answers that lean towards the truth; two samples a group."""
    rng, n = np.random.default_rng(0), len(targets)
    scores = rng.random((n, len(classes))) + 0.5 * np.eye(len(classes))[list(targets)]
    return evaluation(classes, targets, scores / scores.sum(axis=1, keepdims=True))


def evaluation(
    classes: Sequence[str], targets: Sequence[int], chosen: NDArray[np.float64]
) -> Evaluation:
    truth, n = np.array(targets), len(targets)
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
        called=chosen.argmax(axis=1),
        probabilities=chosen,
    )


def lights() -> Evaluation:
    """Four samples, of which the last is grey and called bright."""
    return evaluation(("dark", "grey", "bright"), [0, 1, 2, 1], np.eye(3)[[0, 1, 2, 2]])


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
    sure = evaluation(("a", "b", "c"), [0, 1, 2] * 10, np.eye(3)[found.targets])
    roc = figures.draw_curves(sure, title="t", synthetic=False).axes[0]
    assert [line.get_label() for line in roc.lines[:3]] == [
        f"{name}: AUROC {sure.metric(f'auroc_{name}')}, n 10" for name in "abc"
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
    areas = {name: found.metric(f"auroc_{name}") for name in found.classes}
    every = {name: metric.value for name, metric in areas.items() if metric}
    worst = sorted(every, key=lambda name: every[name])
    assert "20 of 22 classes" in words
    assert f"{worst[0]}: AUROC" in words
    assert f"{worst[-1]}: AUROC" not in words


def test_the_picture_says_what_it_is(tmp_path: Path) -> None:
    figure = figures.draw_confusion(lights(), title="light, version 3", synthetic=True)
    words = text_of(figure)
    for word in ("light, version 3", "dark", "bright", "Research use only", "synthetic images"):
        assert word in words
    figure.savefig(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 5_000


def test_each_cell_shows_its_share_of_the_true_class() -> None:
    axes = figures.draw_confusion(lights(), title="t", synthetic=False).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}  # (column, row)
    assert cells[1, 1] == "1\n50%"
    assert cells[2, 2] == "1\n100%"


def test_real_images_are_not_called_synthetic() -> None:
    figure = figures.draw_confusion(lights(), title="t", synthetic=False)
    assert "synthetic" not in text_of(figure)


def curves() -> Figure:
    return figures.draw_curves(answers("ab", [0, 1] * 9), title="t", synthetic=True, note=LEAK)


def confusion() -> Figure:
    return figures.draw_confusion(answers("ab", [0, 1] * 9), title="t", synthetic=True, note=LEAK)


@pytest.mark.parametrize("draw", [curves, confusion])
def test_every_figure_says_what_must_be_said(draw: Callable[[], Figure]) -> None:
    words = " ".join(text_of(draw()).split())
    for word in ("Research use only", "synthetic images", LEAK):
        assert word in words


def test_every_name_of_a_class_is_drawn() -> None:
    found = answers(ODD[:18], list(range(18)) * 2)
    for draw in (figures.draw_confusion, figures.draw_curves):
        figure = draw(found, title="Validation", synthetic=False, note="none of $x and $y")
        figure.draw_without_rendering()
        assert "Alzheimer's" in text_of(figure)


def test_a_class_without_a_sample_is_named_below_the_picture() -> None:
    found = answers(("healthy", "melanoma", "naevus"), [0, 2] * 6)
    for draw in (figures.draw_confusion, figures.draw_curves):
        words = text_of(draw(found, title="Validation", synthetic=False, note="a leak"))
        words = " ".join(words.split())
        assert "a leak; figures on val are over 2 of 3 classes, none of melanoma" in words
    assert found.brief(("macro_f1",))["absent"] == ["melanoma"]
