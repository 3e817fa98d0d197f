"""Charts of a page as PNG: points and histograms, in colours that everybody tells apart."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neuro import escaped_names
from neuro.reports import render

# Okabe and Ito (2008): eight colours that are told apart with every kind of colour vision; the
# pages' own bars have the same, as .c0 to .c7 in templates/style.css.
PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8a8d91",
    "#f0e442",
)
_DPI = 144
_MARKERS = "osD^vP*X"
_GREY = "#9aa0a6"


def points(places: NDArray[np.float64], panels: Sequence[tuple[str, NDArray[np.str_]]]) -> bytes:
    """The same points once for each (title, what colours them), side by side. places: (m, 2)."""
    figure = Figure(figsize=(4.3 * len(panels), 4.6), layout="constrained")
    for number, (title, kinds) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        _scatter(axes, places, kinds)
        axes.set(title=title, xlabel="component 1", ylabel="component 2" if number == 1 else "")
        axes.set_xticks([])
        axes.set_yticks([])
        _key(axes)
    return png(figure)


def sizes(width_height: NDArray[np.float64], kinds: NDArray[np.str_]) -> bytes:
    """Width against height in pixels. width_height: (m, 2)."""
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    _scatter(axes, width_height, kinds, size=16)
    axes.set(xlabel="width (px)", ylabel="height (px)", title="Sizes")
    _key(axes)
    return png(figure)


def ages(years: NDArray[np.float64], kinds: NDArray[np.str_]) -> bytes:
    """Histogram of known ages, stacked by class. years: (m,)."""
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    names = _names(kinds)
    parts = [years[kinds == name] for name in names]
    colours = [_colour(number, name) for number, name in enumerate(names)]
    labels = [escaped_names.for_chart(name) for name in names]
    bins = np.arange(0, max(float(years.max()), 5.0) + 10, 5)
    axes.hist(parts, bins=bins.tolist(), stacked=True, color=colours, label=labels)
    axes.set(xlabel="age (years)", ylabel="images")
    _key(axes, below=-0.2)
    return png(figure)


def explained_variance(
    explained: NDArray[np.float64], release: str, *, is_synthetic: bool
) -> Figure:
    """The share of each principal component and of all up to it, in percent. explained: in 0..1."""
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
        ylim=(0, min(105.0, 1.15 * last[1] + 1)),
        title=f"Pixels of the train split of {release}, standardised",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    notice = f"{render.SYNTHETIC} {render.RESEARCH_USE}" if is_synthetic else render.RESEARCH_USE
    figure.supxlabel(notice, x=0.01, ha="left", fontsize=8)
    return figure


def _scatter(
    axes: Axes, places: NDArray[np.float64], kinds: NDArray[np.str_], size: float = 9
) -> None:
    order = np.random.default_rng(0).permutation(len(places))  # no kind lies on top of all others
    names = _names(kinds)
    number = {name: n for n, name in enumerate(names)}
    colour = np.array([_colour(number[kind], kind) for kind in kinds[order].tolist()])
    shape = np.array([number[kind] // len(PALETTE) for kind in kinds[order].tolist()])
    spots = places[order]
    for each in range(int(shape.max(initial=0)) + 1):
        chosen = shape == each
        mark = _MARKERS[each % len(_MARKERS)]
        across, up = spots[chosen].T
        axes.scatter(across, up, s=size, c=colour[chosen].tolist(), marker=mark, alpha=0.65, lw=0)
    for n, name in enumerate(names):
        mark = _MARKERS[n // len(PALETTE) % len(_MARKERS)]
        label = escaped_names.for_chart(name)
        axes.scatter([], [], s=30, c=_colour(n, name), marker=mark, label=label, lw=0)


def _names(kinds: NDArray[np.str_]) -> list[str]:
    return [str(name) for name in np.unique(kinds)]


def _colour(number: int, name: str) -> str:
    return _GREY if name.startswith("(") else PALETTE[number % len(PALETTE)]


def _key(axes: Axes, below: float = -0.12) -> None:
    place = (0.5, below)
    axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=place, ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: Figure) -> bytes:
    """The figure as PNG, 144 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
