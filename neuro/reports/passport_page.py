"""The passport of a release as a page that a doctor can read: what it says, shows, and asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from neuro.reports import html, passport_sections, passport_text
from neuro.reports.html import Html, Part, element, joined
from neuro.reports.passport_sections import (
    N_CLUSTERS,
    N_NEIGHBOURS,
    N_OF_CLUSTER,
    N_SUSPECTS,
    Pictures,
)
from neuro.reports.passport_text import Advice, Sealed
from neuro.sample import SPLITS

MAX_PICTURES = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Whose passport it is. made: when, as text."""

    release: str
    dataset: str
    made: str
    content_hash: str


def wanted(sealed: Sealed) -> list[str]:
    """The samples whose pictures the page shows, each once, at most MAX_PICTURES."""
    return list(dict.fromkeys(_named(sealed)))[:MAX_PICTURES]


def _named(sealed: Sealed) -> Iterator[str]:
    for cluster in ((sealed.get("twins") or {}).get("examples") or [])[:N_CLUSTERS]:
        yield from (member["sample_id"] for member in cluster[:N_OF_CLUSTER])
    for suspect in (sealed.get("label_suspects") or [])[:N_SUSPECTS]:
        yield suspect["sample_id"]
        yield from (near["sample_id"] for near in suspect.get("neighbours", [])[:N_NEIGHBOURS])


def build(subject: Subject, sealed: Sealed, pictures: Pictures) -> Html:
    """The page. pictures: what there is of ``wanted``; one that is lacking is left out."""
    advices = passport_text.advise(sealed)
    parts = [_counts(sealed)]
    parts += [_part(each, sealed, pictures) for each in advices]
    parts += [_method(subject)]
    synthetic = bool(sealed.get("is_synthetic"))
    subtitle = f"Release {subject.release} of the data set {subject.dataset}, made {subject.made}"
    return html.page(
        f"Passport of {subject.dataset}",
        subtitle,
        parts,
        lead=_summary(advices, sealed),
        is_synthetic=synthetic,
    )


def _summary(advices: list[Advice], sealed: Sealed) -> Html:
    found = [
        element(
            "li",
            element("span", html.chip(each.status)),
            element(
                "div",
                element("a", each.title, href=f"#{each.key}"),
                Html("<br>"),
                each.says,
            ),
        )
        for each in passport_text.by_status(advices)
    ]
    return element(
        "div",
        element("h2", "In short", id="summary-title"),
        _cards(sealed),
        element("ul", *found, class_="points"),
        class_="summary",
        role="region",
        aria_labelledby="summary-title",
    )


def _cards(sealed: Sealed) -> Html:
    labels = {name: n for name, n in sealed["labels"].items() if name}
    figures = {
        "images": sealed["images"],
        "groups (patients, lesions or copies)": sealed["groups"],
        "labels": len(labels),
        "images without a label": sealed["labels"].get("", 0),
    }
    cards = (element("li", element("strong", html.number(n)), name) for name, n in figures.items())
    return element("ul", *cards, class_="cards")


def _counts(sealed: Sealed) -> Part:
    rows = []
    for title, counts in (
        ("Label", sealed.get("labels") or {}),
        ("Split", sealed.get("splits") or {}),
    ):
        total = max(sum(counts.values()), 1)
        bars = [
            html.Bar(name=name or "(none)", value=n / total, note=html.number(n))
            for name, n in sorted(counts.items(), key=_place)
        ]
        caption = f"{title}: share of the images, and how many."
        rows.append(element("div", html.bars(bars, caption)))
    says = (
        "Labels are those of the source. Splits are neuro's own: drawn by group, so that no "
        "patient, lesion or copy of a picture stands on two sides."
    )
    return Part(anchor="counts", title="How many", body=joined(rows), explanation=says)


def _place(entry: tuple[str, int]) -> tuple[int, str]:
    """Splits in the order in which they are used, names by the alphabet."""
    name = entry[0]
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def _part(each: Advice, sealed: Sealed, pictures: Pictures) -> Part:
    drawn = passport_sections.DRAWN[each.key](sealed, pictures) if each.status != "unknown" else ""
    body = joined(
        [
            element("p", html.prose(each.says), class_="says"),
            html.box("What to do:", each.remedy),
            drawn or Html(""),
        ]
    )
    return Part(anchor=each.key, title=each.title, body=body, status=each.status)


def _method(subject: Subject) -> Part:
    rows: list[tuple[Any, ...]] = [
        ("Release", element("code", subject.release)),
        ("Content hash", element("code", subject.content_hash)),
        ("All figures, as JSON", element("code", f"neuro passport {subject.release} --json")),
    ]
    says = (
        "The passport is sealed in the release and does not change. The pictures are shrunk from "
        "those stored, without colours or contrasts being changed."
    )
    body = html.table(("What", "Value"), rows)
    return Part(anchor="origin", title="Where this comes from", body=body, explanation=says)
