"""What is in a release, to look at: balance, sizes, means, examples, maps, age and sex."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.reports import charts, render
from neuro.reports.given_splits import Difference
from neuro.reports.mean_images import Average
from neuro.reports.pca_map import Map, some
from neuro.sample import SPLITS

N_POINTS = 4000  # of a chart: more hide one another
N_EXAMPLES = 8
NO_CLASS = "(no class)"
SEED = 0
_N_SIZES = 8
_N_PANELS = 3  # of a map: the page is not wider


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exploration:
    """A release as columns, one row an image.

    classes: (n,) str, the class or NO_CLASS. splits, given_splits, sources, groups, modes: (n,)
    str, "" for none. given_differences: between the source's own train and test. sizes: (n, 2)
    width and height in px. ages: (n,) years, NaN where unknown. sexes: (n,) str, "" where unknown.
    averages, examples: by class; an example is a sample_id with its picture. maps: those that could
    be drawn. missing_maps: why others could not, with remedy.
    """

    release: str
    problem: str
    is_synthetic: bool
    classes: NDArray[np.str_]
    splits: NDArray[np.str_]
    given_splits: NDArray[np.str_]
    given_differences: Sequence[Difference]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    modes: NDArray[np.str_]
    sizes: NDArray[np.float64]
    ages: NDArray[np.float64]
    sexes: NDArray[np.str_]
    averages: Mapping[str, Average]
    examples: Mapping[str, Sequence[tuple[str, bytes]]]
    maps: Sequence[Map]
    missing_maps: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counts:
    """Images by two columns. rows: for each class one count of each of ``columns``."""

    columns: list[str]
    rows: dict[str, list[int]]

    def table(self) -> list[tuple[str | int, ...]]:
        """One line a class: its name, then its counts."""
        return [(name, *counts) for name, counts in self.rows.items()]


def build(exploration: Exploration) -> str:
    """The page."""
    classes, n_images = exploration.classes, len(exploration.classes)
    by_split = _count(classes, exploration.splits)
    n_groups = {
        name: len(np.unique(exploration.groups[classes == name])) for name in names(classes)
    }
    sizes = Counter((int(width), int(height)) for width, height in exploration.sizes)
    drawn = some(np.arange(n_images), N_POINTS, SEED)
    size_chart = age_chart = by_sex = None  # where there is nothing to draw
    if len(sizes) > 1:
        size_chart = charts.sizes(exploration.sizes[drawn], classes[drawn])
    has_age = ~np.isnan(exploration.ages)
    if has_age.any():
        age_chart = charts.ages(exploration.ages[has_age], classes[has_age])
    if (exploration.sexes != "").any():
        by_sex = _count(classes, exploration.sexes, unknown="(unknown)")
    return render.render(
        "exploration.html",
        exploration=exploration,
        is_synthetic=exploration.is_synthetic,
        seed=SEED,
        n_images=n_images,
        n_groups=len(np.unique(exploration.groups)),
        n_classes=sum(name != NO_CLASS for name in names(classes)),
        n_without_class=int((classes == NO_CLASS).sum()),
        balance=[(name, sum(row), n_groups[name], *row) for name, row in by_split.rows.items()],
        by_split=by_split,
        given=[
            (
                each.name,
                *each.n,
                str(each.told_apart),
                *(f"{level:.0f}" for level in each.brightness),
            )
            for each in exploration.given_differences
        ],
        by_given_split=_count(classes, exploration.given_splits),
        sizes=[
            (f"{width} x {height}", n, f"{100 * n / n_images:.1f} %")
            for (width, height), n in sizes.most_common(_N_SIZES)
        ],
        n_sizes=len(sizes),
        size_chart=size_chart,
        n_size_chart=len(drawn),
        by_mode=_count(classes, exploration.modes),
        n_examples=N_EXAMPLES,
        maps=[_map_chart(exploration, each) for each in exploration.maps],
        age_chart=age_chart,
        n_ages=int(has_age.sum()),
        median_age=float(np.median(exploration.ages[has_age])) if has_age.any() else np.nan,
        by_sex=by_sex,
    )


def names(classes: NDArray[np.str_]) -> list[str]:
    """Classes that occur, sorted, and last those without."""
    known = [str(name) for name in np.unique(classes)]
    return sorted(known, key=lambda name: (name == NO_CLASS, name))


def examples(classes: NDArray[np.str_], sample_ids: NDArray[np.str_]) -> dict[str, list[str]]:
    """N_EXAMPLES samples of each class, drawn by the seed."""
    return {
        name: sample_ids[some(np.flatnonzero(classes == name), N_EXAMPLES, SEED)].tolist()
        for name in names(classes)
    }


def _count(classes: NDArray[np.str_], values: NDArray[np.str_], unknown: str = "(none)") -> _Counts:
    """Images by class and value; splits in the order in which they are used, others by name."""
    filled = _filled(values, unknown)
    order = {name: number for number, name in enumerate(SPLITS)}
    columns = [str(name) for name in np.unique(filled)]
    columns.sort(key=lambda name: (order.get(name, len(order)), name))
    counts = Counter(zip(classes.tolist(), filled.tolist(), strict=True))
    rows = {name: [counts[name, column] for column in columns] for name in names(classes)}
    return _Counts(columns=columns, rows=rows)


def _filled(values: NDArray[np.str_], unknown: str = "(none)") -> NDArray[np.str_]:
    return np.where(values == "", unknown, values)


def _map_chart(exploration: Exploration, drawn: Map) -> dict[str, Any]:
    """A map as the page shows it: coloured by class, by what else differs, and by split."""
    panels = [("by class", exploration.classes[drawn.rows])]
    for title, values in (
        ("by given split", exploration.given_splits),
        ("by source", exploration.sources),
    ):
        if len(np.unique(values)) > 1:
            panels.append((title, _filled(values[drawn.rows])))
    panels.append(("by split", _filled(exploration.splits[drawn.rows])))
    panels = panels[:_N_PANELS]
    first, second = drawn.explained
    return {
        "name": drawn.name,
        "chart": charts.points(drawn.points, panels),
        "n": len(drawn.rows),
        "n_fitted": drawn.n_fitted,
        "explained_percent": (100 * first, 100 * second),
        "colourings": [title for title, _ in panels],
    }
