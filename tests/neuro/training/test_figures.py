from dataclasses import replace

from neuro.training import figures
from neuro.training.trainer import Epoch
from tests.neuro.evaluation.test_figures import text_of
from tests.neuro.training.test_profiling import EPOCH


def epochs(n: int) -> list[Epoch]:
    return [
        replace(EPOCH, number=i, epochs=n, loss=1 / i, macro_f1=i / 10, accuracy=i / 9)
        for i in range(1, n + 1)
    ]


def test_learning_is_drawn_by_epoch() -> None:
    figure = figures.draw_learning(epochs(5), title="train x", synthetic=False)
    loss, watched, rate, side = figure.axes
    assert list(loss.lines[0].get_ydata()) == [1 / i for i in range(1, 6)]
    assert [line.get_label() for line in watched.lines] == ["macro_f1", "accuracy"]
    assert list(rate.lines[0].get_ydata()) == [EPOCH.learning_rate] * 5
    assert list(side.lines[0].get_ydata()) == [16] * 5
    assert "5 of 5 epochs" in text_of(figure)


def test_it_says_what_must_be_said() -> None:
    leak = "7 groups are in train too"
    figure = figures.draw_learning(epochs(2), title="t", synthetic=True, note=leak)
    words = " ".join(text_of(figure).split())
    for word in ("Research use only", "synthetic images", leak):
        assert word in words
