"""Figures of an evaluation: the confusion matrix, and the curves of each class."""

import textwrap
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from neuro import escaped_names
from neuro.evaluation.evaluate import Evaluation

_AT_MOST = 20  # classes of one figure


def draw_confusion(
    evaluation: Evaluation, *, title: str, synthetic: bool, note: str = ""
) -> Figure:
    """Confusion matrix with counts, coloured by the share of each true class."""
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.0 + 0.7 * len(counts)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = np.arange(len(counts))
    names = [escaped_names.for_chart(name) for name in evaluation.classes]
    axes.set_xticks(places, names, rotation=30, ha="right")
    axes.set_yticks(places, names)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{count}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set(xlabel="predicted", ylabel="true class", title=title)
    accuracy = evaluation.metric("accuracy")
    interval = str(replace(accuracy, classes="")) if accuracy else "unknown"
    facts = f"{evaluation.split}: n {counts.sum()}, accuracy {interval}"
    sign(figure, facts, synthetic=synthetic, note=_notes(evaluation, note))
    return figure


def draw_curves(evaluation: Evaluation, *, title: str, synthetic: bool, note: str = "") -> Figure:
    """ROC and precision-recall of each class against the others; AUROC with its interval.

    A class without samples, or that is all there is, has none; of more than 20 classes, those of
    the lowest AUROC.
    """
    of_classes = {name: evaluation.metric(f"auroc_{name}") for name in evaluation.classes}
    aurocs = {name: metric for name, metric in of_classes.items() if metric is not None}
    shown = sorted(aurocs, key=lambda name: aurocs[name].value)[:_AT_MOST]
    figure = Figure(figsize=(11.0, 5.4 + 0.19 * len(shown)), layout="constrained")
    figure.suptitle(title)
    roc, pr = figure.subplots(1, 2)
    for number, name in enumerate(name for name in evaluation.classes if name in shown):
        column = evaluation.classes.index(name)
        scores, is_it = evaluation.probabilities[:, column], evaluation.targets == column
        style = {"color": f"C{number % 10}", "ls": "-" if number < 10 else "--", "lw": 1.5}
        false, true, _ = roc_curve(is_it, scores)
        label = escaped_names.for_chart(name)
        roc.plot(false, true, label=f"{label}: AUROC {aurocs[name]}, n {is_it.sum()}", **style)
        precision, recall, _ = precision_recall_curve(is_it, scores)
        area, share = average_precision_score(is_it, scores), is_it.mean()
        area_label = f"{label}: {area:.3f}, by chance {share:.3f}"
        pr.step(recall, precision, where="post", label=area_label, **style)
        pr.axhline(share, color=style["color"], lw=0.8, ls=":")
    roc.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    _finish(roc, "false positive rate", "true positive rate", "ROC")
    _finish(pr, "recall", "precision", "Precision and recall, with the average precision")
    few = f", {len(shown)} of {len(aurocs)} classes" if len(shown) < len(aurocs) else ""
    facts = f"{evaluation.split}: n {len(evaluation.targets)}, each class against the others{few}"
    sign(figure, facts, synthetic=synthetic, note=_notes(evaluation, note))
    return figure


def sign(figure: Figure, facts: str, *, synthetic: bool, note: str = "") -> None:
    """Say below a picture what its figures are of. note: what else must be said, such as a leak."""
    use = "Research use only" + (", synthetic images" if synthetic else "")
    lines = [facts, use, *textwrap.wrap(note, int(16 * figure.get_figwidth()))]
    words = "\n".join(lines).replace("$", r"\$")  # between two $ matplotlib would read a formula
    figure.supxlabel(words, fontsize=8, color="dimgrey")


def _notes(evaluation: Evaluation, note: str) -> str:
    """What must be said, and which classes the figures say nothing of."""
    return "; ".join(filter(None, (note, evaluation.missing)))


def _finish(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.title.set_fontsize(10)
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
