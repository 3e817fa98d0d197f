"""Pictures of a training and of an evaluation; draw_confusion stands with its evaluation."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from neuro.evaluation import metrics
from neuro.evaluation.evaluate import Evaluation, sign
from neuro.sample import Metric
from neuro.training.trainer import Epoch

_AT_MOST = 20  # classes of one picture


def draw_learning(
    epochs: Sequence[Epoch], *, title: str, synthetic: bool, note: str = ""
) -> Figure:
    """Loss, macro-F1 and accuracy on val, learning rate and side of the views, by epoch.

    note: what else must be said of the figures, such as a leak.
    """
    figure = _figure(9.0, 6.5, title)
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


def draw_curves(evaluation: Evaluation, *, title: str, synthetic: bool, note: str = "") -> Figure:
    """ROC and precision-recall of each class against the others; AUROC with its interval.

    A class without samples, or that is all there is, has none; of more than 20 classes, those of
    the lowest AUROC.
    """
    found = {name: one for name in evaluation.classes if (one := auroc(evaluation, name))}
    shown = sorted(found, key=lambda name: found[name].value)[:_AT_MOST]
    figure = _figure(11.0, 5.4 + 0.19 * len(shown), title)
    roc, pr = figure.subplots(1, 2)
    for number, name in enumerate(name for name in evaluation.classes if name in shown):
        column = evaluation.classes.index(name)
        scores, is_it = evaluation.probabilities[:, column], evaluation.targets == column
        style = {"color": f"C{number % 10}", "ls": "-" if number < 10 else "--", "lw": 1.5}
        false, true, _ = roc_curve(is_it, scores)
        roc.plot(false, true, label=f"{name}: AUROC {found[name]}, n {is_it.sum()}", **style)
        precision, recall, _ = precision_recall_curve(is_it, scores)
        area, share = average_precision_score(is_it, scores), is_it.mean()
        told = f"{name}: {area:.3f}, by chance {share:.3f}"
        pr.step(recall, precision, where="post", label=told, **style)
        pr.axhline(share, color=style["color"], lw=0.8, ls=":")
    roc.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    _finish(roc, "false positive rate", "true positive rate", "ROC")
    _finish(pr, "recall", "precision", "Precision and recall, with the average precision")
    few = f", {len(shown)} of {len(found)} classes" if len(shown) < len(found) else ""
    facts = f"{evaluation.split}: n {len(evaluation.targets)}, each class against the others{few}"
    sign(figure, facts, synthetic=synthetic, note=note)
    return figure


def auroc(evaluation: Evaluation, name: str) -> Metric | None:
    """One class's AUROC against the others, resampled by group; None where it has none."""
    column = evaluation.classes.index(name)
    score = evaluation.probabilities[:, column]
    found = metrics.score(
        np.stack([1 - score, score], axis=1),
        (evaluation.targets == column).astype(np.int64),
        evaluation.groups,
        ("others", name),
    )
    return next((metric for metric in found if metric.name == "auroc"), None)


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # a figure of its own: pyplot would keep it for ever
    figure.suptitle(title)
    return figure


def _finish(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.title.set_fontsize(10)
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
