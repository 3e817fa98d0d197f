"""A picture of how much of the variance each principal component explains."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neuro.reports import render


def draw(explained: NDArray[np.float64], release: str, is_synthetic: bool) -> Figure:
    """Shares of each component and of all up to it, in percent. explained: (k,) in 0..1."""
    number = np.arange(1, len(explained) + 1)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(number, 100 * explained, color="#2f6f8f", label="of each component")
    together = 100 * np.cumsum(explained)
    axes.plot(number, together, color="#8a3b12", label="of all up to it")
    last = (float(number[-1]), float(together[-1]))
    axes.annotate(f"{last[1]:.0f} %", last, (-4, 6), textcoords="offset points", ha="right")
    axes.set(
        xlabel="principal component",
        ylabel="explained variance, % of all pixels'",
        xlim=(0.3, len(explained) + 0.7),
        ylim=(0, min(105.0, 1.15 * float(together[-1]) + 1)),
        title=f"Pixels of the train split of {release}, standardised",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    notice = f"{render.SYNTHETIC} {render.RESEARCH_USE}" if is_synthetic else render.RESEARCH_USE
    figure.supxlabel(notice, x=0.01, ha="left", fontsize=8)
    return figure
