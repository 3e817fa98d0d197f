"""What each part of a passport's page shows below its sentence: pictures, bars and tables."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from neuro.passport import passport
from neuro.reports import html, pose_of_copy
from neuro.reports.html import Bar, Content, Html, element, joined
from neuro.reports.passport_text import Sealed, clue, many

Pictures = Mapping[str, bytes]  # what a page shows of a sample, by sample_id

N_CLUSTERS = 8
N_OF_CLUSTER = 4
N_SUSPECTS = 20
N_NEIGHBOURS = 3
_ID_LETTERS = 12
_BREAK = Html("<br>")


def short(sample_id: str) -> Html:
    """The beginning of a digest, which every verb takes, with all of it behind."""
    return element("code", sample_id[:_ID_LETTERS], title=sample_id)


def _tile(sample_id: str, pictures: Pictures, alt: str, caption: Content) -> Html:
    """A picture with its caption; without the picture, the caption alone."""
    raw = pictures.get(sample_id)
    shown = (
        html.picture(raw, alt, sample_id=sample_id)
        if raw
        else element("p", "(not shown)", class_="label")
    )
    return html.figure(shown, joined([caption, _BREAK, short(sample_id)]))


def _twins(sealed: Sealed, pictures: Pictures) -> Html:
    clusters = sealed["twins"].get("examples")
    if clusters is None and not sealed["twins"]["near_groups"]:
        return Html("")
    if clusters is None:
        return element("p", "No examples were kept in this release.", class_="label")
    rows, seen = [], Counter[str]()
    for cluster in clusters[:N_CLUSTERS]:
        tiles, first = [], pictures.get(cluster[0]["sample_id"])
        for member in cluster[:N_OF_CLUSTER]:
            told = [_label(member["label"]), *_places(member)]
            raw = pictures.get(member["sample_id"])
            if first is not None and raw is not None and member is not cluster[0]:
                way = pose_of_copy.view(first, raw)
                seen[way] += 1
                told.append(way)
            alt = f"copy of one picture, labelled {_label(member['label'])}"
            tiles.append(_tile(member["sample_id"], pictures, alt, _lines(told)))
        rows.append(html.strip(tiles, _headline(cluster)))
    if not rows:
        return Html("")
    ways = ", ".join(f"{n} {way}" for way, n in seen.most_common())
    said = f"Beside the first of its row: {ways}." if ways else ""
    return joined([element("h3", "Examples"), element("p", said), html.rows(rows)])


def _headline(cluster: list[Mapping[str, Any]]) -> str:
    labels = {member["label"] for member in cluster if member["label"]}
    given = {member["given_split"] for member in cluster}
    facts = [("at least " if len(cluster) == passport.TOLD else "") + many(len(cluster), "picture")]
    if {"train", "test"} <= given or "train+test" in given:
        facts.append("in the source's training part and in its test part")
    if len(labels) > 1:
        facts.append(f"under {len(labels)} labels")
    return ", ".join(facts)


def _lines(texts: Iterable[str]) -> Html:
    broken = [part for text in texts for part in (_BREAK, text)]
    return joined(broken[1:])


def _label(label: str) -> str:
    return label or "(no label)"


def _places(member: Mapping[str, Any]) -> list[str]:
    given, own = member.get("given_split"), member.get("split")
    told = [f"source: {given}"] if given else []
    return told + ([f"neuro: {own}"] if own else [])


def _lookup(sealed: Sealed, _: Pictures) -> Html:
    names = {
        "given": "source's own split",
        "random": "random split",
        "grouped": "grouped split",
        "test": "neuro's test split",
    }
    notes = {
        "random": "mean of five draws",
        "grouped": "mean of five draws",
        "test": "the figure to hold beside a model's",
    }
    found = sealed["lookup"]
    rows = [
        Bar(
            name=name,
            value=found[key],
            note=notes.get(key, ""),
            is_named=key in ("given", "random"),
        )
        for key, name in names.items()
        if found.get(key) is not None
    ]
    caption = (
        "Accuracy of copying the label of the most similar training picture (1 nearest neighbour "
        "on thumbnails of 32 pixels)."
    )
    return html.bars(rows, caption)


def _confounds(sealed: Sealed, _: Pictures) -> Html:
    rows = [
        Bar(
            name=clue(row["name"]),
            value=row["balanced"],
            mark=row["balanced_chance"],
            note=_named(row),
            is_named=row["is_named"],
        )
        for row in sealed["confounds"]
    ]
    caption = (
        "Mean recall, the share of each class that is told right, classes counted alike, from one "
        "property of the file alone; cross-validated."
    )
    return html.bars(rows, caption, "what guessing reaches")


def _named(row: Mapping[str, Any]) -> str:
    if not row["is_named"]:
        return "not above guessing"
    return f"at least {row['low']:.2f} above guessing"


def _sources(sealed: Sealed, _: Pictures) -> Html:
    rows = [
        Bar(
            name=row["name"],
            value=row["accuracy"],
            mark=row["chance"],
            note=", ".join(map(str, row["values"][:6]))
            if isinstance(row["values"], list)
            else many(int(row["values"]), "value"),
        )
        for row in sealed["sources"]
    ]
    if not rows:
        return Html("")
    caption = "Accuracy of a linear probe on the thumbnail, cross-validated."
    return html.bars(rows, caption, "what guessing reaches")


def _suspects(sealed: Sealed, pictures: Pictures) -> Html:
    rows = []
    for rank, row in enumerate(sealed["label_suspects"][:N_SUSPECTS], start=1):
        given, other = _label(row["label"]), _label(row["suggested"])
        alt = f"image labelled {given}, which looks like {other}"
        tiles = [_tile(row["sample_id"], pictures, alt, "in doubt")]
        near = row.get("neighbours", [])[:N_NEIGHBOURS]
        tiles += [
            _tile(each["sample_id"], pictures, "similar image", f"similar: {_label(each['label'])}")
            for each in near
        ]
        label = f"{rank}. Given {given}, suggested {other} (doubt {row['score']:.2f})"
        rows.append(html.strip(tiles, label))
    if not rows:
        return Html("")
    rest = len(sealed["label_suspects"]) - len(rows)
    more = f"{rest:,} more are in the JSON." if rest > 0 else ""
    return joined([html.rows(rows, is_tight=True), element("p", more, class_="label")])


def _grouping(sealed: Sealed, _: Pictures) -> Html:
    found, groups = sealed["grouping"], max(int(sealed["groups"]), 1)
    why = {
        "alone": "one image each",
        "id": "joined by id",
        "twins": "joined as twins",
        "both": "joined by id and as twins",
    }
    reasons = [
        Bar(name=name, value=found[key] / groups, note=html.number(found[key]))
        for key, name in why.items()
        if key in found
    ]
    sizes = [
        Bar(
            name=f"{size} {'image' if size == '1' else 'images'}",
            value=n / groups,
            note=html.number(n),
        )
        for size, n in found["sizes"].items()
    ]
    return element(
        "div",
        element("div", html.bars(reasons, "Share of the groups, by what joined them.")),
        element("div", html.bars(sizes, "Share of the groups, by size.")),
    )


def _metadata(sealed: Sealed, _: Pictures) -> Html:
    rows = [
        (row["column"], row["missing"], row["impossible"], _values(row.get("values")))
        for row in sealed["metadata"]
    ]
    headers = ("Column", "Missing", "Impossible", "Values")
    return html.table(headers, rows, "Images by column of the metadata.") if rows else Html("")


def _values(values: Any) -> str:
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {n:,}" for name, n in list(values.items())[:8])
    if isinstance(values, list | tuple):
        return ", ".join(map(str, values[:8]))
    return "" if values is None else str(values)


def _identifiers(sealed: Sealed, _: Pictures) -> Html:
    rows = [(kind, n) for kind, n in sealed["identifiers"].items() if n]
    return html.table(("Found in", "Files"), rows) if rows else Html("")


def _about(sealed: Sealed, _: Pictures) -> Html:
    names = {
        "population": "Population",
        "intended_use": "Intended use",
        "licence": "Licence",
        "citation": "Citation",
    }
    about = sealed["about"]
    rows = [(title, about.get(key) or "not written down") for key, title in names.items()]
    return html.table(("What", "The problem file says"), rows)


DRAWN: dict[str, Callable[[Sealed, Pictures], Html]] = {
    "twins": _twins,
    "lookup": _lookup,
    "confounds": _confounds,
    "sources": _sources,
    "label_suspects": _suspects,
    "grouping": _grouping,
    "metadata": _metadata,
    "identifiers": _identifiers,
    "about": _about,
}
