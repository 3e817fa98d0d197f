"""Charts of an evaluation's page: reliability, risk by coverage, and subgroups."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neuro import escaped_names
from neuro.evaluation.reliability import Bin
from neuro.evaluation.stress import Stressed
from neuro.evaluation.subgroups import Subgroup
from neuro.reports.charts import PALETTE, png
from neuro.sample import Metric

_GREY = "#9aa0a6"


def reliability(bins: Sequence[Bin]) -> bytes:
    """Share right by confidence, with the interval of each bin; below, how many answers it has."""
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes, counts = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    axes.plot([0, 1], [0, 1], color=_GREY, ls=":", lw=1)
    sure = np.array([each.confidence for each in bins])
    right = np.array([each.right for each in bins])
    low = np.array([each.low for each in bins])
    high = np.array([each.high for each in bins])
    axes.fill_between(sure, low, high, color=PALETTE[0], alpha=0.18, lw=0)
    axes.errorbar(sure, right, yerr=[right - low, high - right], color=PALETTE[0], fmt="o-", ms=4)
    axes.set(ylabel="share right", ylim=(-0.02, 1.02), title="Reliability")
    counts.bar(sure, [each.n for each in bins], width=0.04, color=PALETTE[0])
    counts.set(xlabel="confidence", ylabel="answers", xlim=(0, 1.02))
    for each in (axes, counts):
        each.spines[["top", "right"]].set_visible(False)
    return png(figure)


def risk_coverage(answered: NDArray[np.float64], risk: NDArray[np.float64]) -> bytes:
    """Share wrong among the answered by share answered, (m,) each."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.step(answered, risk, where="post", color=PALETTE[5], lw=1.6)
    top = max(0.02, 1.15 * float(risk.max()))
    axes.set(xlabel="share answered, the surest first", ylabel="wrong among them")
    axes.set(xlim=(0, 1.01), ylim=(0, top), title="Risk and coverage")
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def forest(overall: Metric, subgroups: Sequence[Subgroup]) -> bytes:
    """Accuracy of each subgroup with its interval; those that differ are filled."""
    figure = Figure(figsize=(7.6, 1.2 + 0.32 * len(subgroups)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(overall.value, color=_GREY, ls=":", lw=1)
    names = []
    for place, each in enumerate(reversed(subgroups)):
        metric = each.accuracy
        colour = PALETTE[5] if each.differs else PALETTE[0]
        axes.plot([metric.low, metric.high], [place, place], color=colour, lw=1.6)
        face = colour if each.differs else "white"
        axes.plot([metric.value], [place], "s", color=colour, mfc=face, ms=6)
        value = escaped_names.for_chart(each.value)
        names.append(f"{escaped_names.for_chart(each.column)}: {value} ({metric.n})")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="accuracy, 95 % by group; dotted: of all", xlim=(0, 1.01))
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def stress(sheet: Sequence[Stressed]) -> bytes:
    """Accuracy, share answered, and share right of the answered, by strength of each change."""
    plain, names = sheet[0], list(dict.fromkeys(each.change for each in sheet[1:]))
    figure = Figure(figsize=(9.2, 2.3 * -(-len(names) // 4)), layout="constrained")
    panels = figure.subplots(-(-len(names) // 4), 4, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        rows = [plain, *(each for each in sheet if each.change == name)]
        strengths = [each.strength for each in rows]
        for figures, colour, mark, label in (
            ([each.accuracy for each in rows], PALETTE[0], "o-", "right"),
            ([each.answered for each in rows], PALETTE[1], "s--", "answered"),
            (
                [_or_nan(each.right_of_answered) for each in rows],
                PALETTE[2],
                "^:",
                "right when it answers",
            ),
        ):
            axes.plot(strengths, figures, mark, color=colour, label=label, ms=4, lw=1.4)
        axes.set(title=name.partition(" (")[0], ylim=(-0.02, 1.02), xticks=strengths)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("strength", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return png(figure)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
