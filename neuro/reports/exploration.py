"""What is in a release, to look at: balance, sizes, means, examples, maps, age and sex."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.reports import charts, html
from neuro.reports.html import Html, Part, element, joined
from neuro.reports.mean_images import Average
from neuro.reports.pca_map import Map, some
from neuro.sample import SPLITS

N_POINTS = 4000  # of a chart: more hide one another
N_EXAMPLES = 8
NO_CLASS = "(no class)"
SEED = 0
_N_SIZES = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explored:
    """A release as columns, one row an image.

    kinds: (n,) str, the class or NO_CLASS. splits, given, sources, groups, modes: (n,) str, "" for
    none. sizes: (n, 2) width and height in px. ages: (n,) years, NaN where unknown. sexes: (n,)
    str, "" where unknown. averages, examples: by class. maps: those that could be drawn.
    lacking: what could not be, each with the remedy.
    """

    release: str
    problem: str
    is_synthetic: bool
    kinds: NDArray[np.str_]
    splits: NDArray[np.str_]
    given: NDArray[np.str_]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    modes: NDArray[np.str_]
    sizes: NDArray[np.float64]
    ages: NDArray[np.float64]
    sexes: NDArray[np.str_]
    averages: Mapping[str, Average]
    examples: Mapping[str, Sequence[tuple[str, bytes]]]
    maps: Sequence[Map]
    lacking: Sequence[str]


def build(seen: Explored) -> Html:
    """The page."""
    parts = [_balance(seen), _sizes(seen), _means(seen), _examples(seen)]
    parts += [_map(seen, number, each) for number, each in enumerate(seen.maps)]
    parts += [_lacking(seen)] if seen.lacking else []
    parts += [_people(seen)]
    subtitle = f"Release {seen.release}, asked the question {seen.problem}: what is in it"
    return html.page(
        f"Exploration of {seen.release}",
        subtitle,
        parts,
        lead=_lead(seen),
        is_synthetic=seen.is_synthetic,
    )


def names(kinds: NDArray[np.str_]) -> list[str]:
    """Classes that occur, sorted, and last those without."""
    found = [str(name) for name in np.unique(kinds)]
    return sorted(found, key=lambda name: (name == NO_CLASS, name))


def examples(kinds: NDArray[np.str_], sample_ids: NDArray[np.str_]) -> dict[str, list[str]]:
    """N_EXAMPLES samples of each class, drawn by the seed."""
    return {
        name: sample_ids[some(np.flatnonzero(kinds == name), N_EXAMPLES, SEED)].tolist()
        for name in names(kinds)
    }


def _lead(seen: Explored) -> Html:
    figures = {
        "images": len(seen.kinds),
        "groups": len(np.unique(seen.groups)),
        "classes": sum(name != NO_CLASS for name in names(seen.kinds)),
        "images without a class": int((seen.kinds == NO_CLASS).sum()),
    }
    cards = (element("li", element("strong", html.number(n)), name) for name, n in figures.items())
    return element("ul", *cards, class_="cards")


def _counted(
    rows: NDArray[np.str_], columns: NDArray[np.str_]
) -> tuple[dict[str, list[int]], list[str]]:
    """Images by two columns: a list for each value of ``rows``, in the order of the names."""
    found = [str(name) for name in np.unique(columns)]
    order = {name: number for number, name in enumerate(SPLITS)}
    across = sorted(found, key=lambda name: (order.get(name, len(order)), name))
    counts = Counter(zip(rows.tolist(), columns.tolist(), strict=True))
    return {row: [counts[row, name] for name in across] for row in names(rows)}, across


def _balance(seen: Explored) -> Part:
    by_split, splits = _counted(seen.kinds, _filled(seen.splits))
    members = {name: len(np.unique(seen.groups[seen.kinds == name])) for name in names(seen.kinds)}
    table: list[tuple[html.Content, ...]] = [
        (name, sum(counts), members[name], *counts) for name, counts in by_split.items()
    ]
    shares = [
        html.Bar(name=name, value=sum(counts) / len(seen.kinds), note=f"{sum(counts):,} images")
        for name, counts in by_split.items()
    ]
    body = [
        html.table(("Class", "Images", "Groups", *splits), table, "Images by class and split."),
        html.bars(shares, "Share of each class."),
        html.stacked(by_split, splits, "Share of each split in each class."),
    ]
    if len(np.unique(seen.given)) > 1:
        by_given, given = _counted(seen.kinds, _filled(seen.given))
        body.append(html.stacked(by_given, given, "Share of the source's own splits."))
    says = "A class or a split that is rare has uncertain figures."
    return Part(anchor="balance", title="Classes and splits", body=joined(body), explanation=says)


def _filled(values: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.where(values == "", "(none)", values)


def _sizes(seen: Explored) -> Part:
    rows = some(np.arange(len(seen.kinds)), N_POINTS, SEED)
    counted = Counter(map(tuple, seen.sizes.astype(int).tolist()))
    table = [
        (f"{width} x {height}", n, _share(n, len(seen.kinds)))
        for (width, height), n in counted.most_common(_N_SIZES)
    ]
    caption = f"The commonest of {len(counted):,} sizes." if len(counted) > 1 else "One size."
    body = [html.table(("Width x height (px)", "Images", "Share"), table, caption)]
    if len(counted) > 1:
        alt = f"Scatter of width against height of {len(rows):,} images, coloured by class"
        chart = charts.sizes(seen.sizes[rows], seen.kinds[rows])
        body += [html.picture(chart, alt, kind="chart"), _drawn(len(rows), len(seen.kinds))]
    by_mode, modes = _counted(seen.kinds, _filled(seen.modes))
    body.append(html.stacked(by_mode, modes, "Colour modes of the files in each class."))
    says = (
        "A class whose images differ in size or colour mode can be told by that alone: see the "
        "passport."
    )
    return Part(anchor="sizes", title="Sizes and modes", body=joined(body), explanation=says)


def _share(n: int, total: int) -> str:
    return f"{100 * n / max(total, 1):.1f} %"


def _drawn(n: int, total: int) -> Html:
    if n == total:
        return Html("")
    text = f"Drawn are {n:,} of {total:,} images, chosen at random with seed {SEED}."
    return element("p", text, class_="label")


def _means(seen: Explored) -> Part:
    rows = []
    for name, average in seen.averages.items():
        tiles = [
            html.figure(html.picture(average.mean, f"mean image of {name}"), "mean"),
            html.figure(
                html.picture(average.deviation, f"deviation image of {name}"),
                f"deviation; white is {average.largest:.0f} grey levels",
            ),
        ]
        rows.append(html.strip(tiles, f"{name}: {average.n:,} images"))
    says = (
        "The mean of all images of a class, as a model is given them, and how much each pixel "
        "varies. A sharp mean, a letter or a frame in it is what these images share beside the "
        "disease."
    )
    body = html.rows(rows)
    return Part(anchor="means", title="Mean image of each class", body=body, explanation=says)


def _examples(seen: Explored) -> Part:
    rows = [
        html.strip(
            [
                html.figure(
                    html.picture(raw, f"example of {name}", sample_id=sample_id),
                    element("code", sample_id[:12], title=sample_id),
                )
                for sample_id, raw in chosen
            ],
            name,
        )
        for name, chosen in seen.examples.items()
    ]
    says = f"Up to {N_EXAMPLES} of each class, chosen at random with seed {SEED}."
    body = joined([element("div", *rows, class_="tight")])
    return Part(anchor="examples", title="Samples of each class", body=body, explanation=says)


def _map(seen: Explored, number: int, drawn: Map) -> Part:
    panels = [("by class", seen.kinds[drawn.rows])]
    for title, values in (("by given split", seen.given), ("by source", seen.sources)):
        if len(np.unique(values)) > 1:
            panels.append((title, _filled(values[drawn.rows])))
    panels.append(("by split", _filled(seen.splits[drawn.rows])))
    told = ", ".join(title for title, _ in panels)
    alt = f"Map of {len(drawn.rows):,} images on two principal components, coloured {told}"
    one, two = (100 * share for share in drawn.explained)
    says = (
        f"Each point is an image; near ones are alike in {drawn.name}. The axes are the two "
        f"principal components of {drawn.n_fitted:,} images of the training split, standardised; "
        f"they hold {one:.0f} % and {two:.0f} % of the variance."
    )
    if len(panels) > 2:
        says += " Where sources or given splits lie apart, a model can tell them apart, too."
    body = [html.picture(charts.points(drawn.points, panels[:3]), alt, kind="chart")]
    body.append(_drawn(len(drawn.rows), len(seen.kinds)))
    title = f"Map of {drawn.name}"
    return Part(anchor=f"map-{number}", title=title, body=joined(body), explanation=says)


def _lacking(seen: Explored) -> Part:
    rows = element("ul", *(element("li", html.prose(text)) for text in seen.lacking))
    return Part(anchor="lacking", title="Maps that are not there", body=rows)


def _people(seen: Explored) -> Part:
    known = ~np.isnan(seen.ages)
    body = []
    if known.any():
        alt = f"Histogram of {known.sum():,} ages, stacked by class"
        chart = charts.ages(seen.ages[known], seen.kinds[known])
        body.append(html.picture(chart, alt, kind="chart"))
        body.append(
            element(
                "p",
                f"Age is known of {known.sum():,} of {len(known):,} images, median "
                f"{np.median(seen.ages[known]):.0f} years.",
            )
        )
    if (seen.sexes != "").any():
        filled = np.where(seen.sexes == "", "(unknown)", seen.sexes)
        by_sex, sexes = _counted(seen.kinds, filled)
        table: list[tuple[html.Content, ...]] = [(name, *counts) for name, counts in by_sex.items()]
        body.append(html.table(("Class", *sexes), table, "Images by class and sex."))
        body.append(html.stacked(by_sex, sexes, "Share of each sex in each class."))
    if not body:
        body = [element("p", "The delivery says nothing of age or sex.")]
    return Part(anchor="people", title="Age and sex", body=joined(body))
