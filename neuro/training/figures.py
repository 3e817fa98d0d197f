"""The figure of a training: what was measured in each epoch."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neuro.evaluation.figures import sign
from neuro.training.trainer import Epoch


def draw_learning(
    epochs: Sequence[Epoch], *, title: str, synthetic: bool, note: str = ""
) -> Figure:
    """Loss, macro-F1 and accuracy on val, learning rate and side of the views, by epoch."""
    figure = Figure(figsize=(9.0, 6.5), layout="constrained")
    figure.suptitle(title)
    panels: dict[str, tuple[str, ...]] = {
        "loss on train": ("loss",),
        "validation": ("macro_f1", "accuracy"),
        "learning rate": ("learning_rate",),
        "side of the views, px": ("size_px",),
    }
    numbers = [epoch.number for epoch in epochs]
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (what, names) in zip(grid.flat, panels.items(), strict=True):
        for name in names:
            values = [getattr(epoch, name) for epoch in epochs]
            axes.plot(numbers, values, marker="." if len(epochs) <= 60 else "", label=name)
        top = max(getattr(epoch, name) for epoch in epochs for name in names)
        axes.set(ylabel=what, ylim=(0, 1.02 if what == "validation" else 1.08 * top))
        axes.set_xlim(0.5, len(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        if len(names) > 1:
            axes.legend(fontsize=8)
    for axes in grid[1]:
        axes.set_xlabel("epoch")
    last = epochs[-1]
    facts = (
        f"{len(epochs)} of {last.epochs} epochs; validation as watched, of the averaged weights, "
        "without intervals: the package's own figures are the ones to cite"
    )
    sign(figure, facts, synthetic=synthetic, note=note)
    return figure
