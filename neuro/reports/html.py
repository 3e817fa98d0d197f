"""The pages people look at: one file each, with no script, no network, and every text escaped."""

import base64
import html
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuro.reports.style import STYLE

RESEARCH_USE = "Research use only; not a medical device."
SYNTHETIC = "Synthetic images: drawn by a program, of no patient."
# Nothing is fetched and nothing runs, whatever a label or a file name says.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)

Status = Literal["serious", "look", "fine", "unknown"]
# A word and a sign each: colour alone tells nothing to one in twelve men, nor to a printer.
WORDS: Mapping[Status, str] = {
    "serious": "\N{BLACK SQUARE} Serious",
    "look": "\N{BLACK UP-POINTING TRIANGLE} Look at this",
    "fine": "\N{CHECK MARK} Fine",
    "unknown": "\N{EN DASH} Not inspected",
}
_VOID = ("img", "meta")


class Html(str):
    """Finished markup; any other text is escaped where it is put into markup."""

    __slots__ = ()


Content = Html | str | int | float


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One line of a bar chart. value, mark: in 0..1; the mark is what to compare with."""

    name: str
    value: float
    note: str = ""
    mark: float | None = None
    is_named: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One section of a page. anchor: its id, by which others link to it."""

    anchor: str
    title: str
    body: Html
    explanation: str = ""
    status: Status | None = None


def element(tag: str, *content: Content, **attributes: str | int) -> Html:
    """One element. An attribute's last underline falls away, others become hyphens."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value != ""
    )
    if tag in _VOID:
        return Html(f"<{tag}{told}>")
    return Html(f"<{tag}{told}>{joined(content)}</{tag}>")


def joined(parts: Iterable[Content]) -> Html:
    """Contents one after the other, text escaped."""
    return Html(
        "".join(p if isinstance(p, Html) else html.escape(str(p), quote=False) for p in parts)
    )


def prose(text: str) -> Html:
    """Text in which what stands between backticks is code; escaped."""
    parts = text.split("`")
    return joined(element("code", part) if n % 2 else part for n, part in enumerate(parts))


def page(
    title: str,
    subtitle: Content,
    parts: Sequence[Part],
    *,
    lead: Html | None = None,
    is_synthetic: bool = False,
) -> Html:
    """The whole document. lead: what stands above the first section."""
    notice = element("p", RESEARCH_USE, class_="notice", role="note")
    synthetic = element("p", SYNTHETIC, class_="notice synthetic", role="note")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content="neuro"),
        element("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    body = element(
        "body",
        element("header", notice, synthetic if is_synthetic else Html("")),
        element(
            "main",
            element("h1", title),
            element("p", subtitle, class_="subtitle"),
            lead or Html(""),
            *map(section, parts),
        ),
        element("footer", synthetic if is_synthetic else Html(""), notice),
    )
    return Html(f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n")


def section(part: Part) -> Html:
    """A section with its heading, its status in words, and an explanation."""
    sign = chip(part.status) if part.status else Html("")
    return element(
        "section",
        element("h2", part.title, " ", sign, id=f"{part.anchor}-title"),
        element("p", part.explanation, class_="explanation") if part.explanation else Html(""),
        part.body,
        id=part.anchor,
        aria_labelledby=f"{part.anchor}-title",
    )


def chip(status: Status) -> Html:
    """The status as a word in its colour."""
    return element("span", WORDS[status], class_=f"chip {status}")


def box(label: str, text: str) -> Html:
    """A line that stands out, with what it is in front; backticks hold code."""
    return element("p", element("strong", label), " ", prose(text), class_="box")


def table(headers: Sequence[str], rows: Iterable[Sequence[Content]], caption: str = "") -> Html:
    """A table; the first cell of a row is its heading, numbers stand right."""
    lines = list(rows)
    sides = ["number" if _is_number(cell) else "" for cell in (lines[0] if lines else headers)]
    names = zip(headers, sides, strict=True)
    head = element("tr", *(element("th", name, scope="col", class_=side) for name, side in names))
    body = [
        element("tr", element("th", line[0], scope="row"), *map(_cell, line[1:])) for line in lines
    ]
    told = element("caption", caption) if caption else Html("")
    grid = element("table", told, element("thead", head), element("tbody", *body))
    return element("div", grid, class_="scroll")


def _is_number(value: Content) -> bool:
    return isinstance(value, int | float)


def _cell(value: Content) -> Html:
    if isinstance(value, int | float):
        return element("td", number(value), class_="number")
    return element("td", value)


def number(value: float) -> str:
    """A count with thousands, another number with two decimals."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def bars(rows: Sequence[Bar], caption: str, mark: str = "") -> Html:
    """Bars from 0 to 1 as a table, so that they can be read aloud. mark: what the marks mean."""
    lines = []
    for row in rows:
        width = f"width:{100 * min(max(row.value, 0.0), 1.0):.1f}%"
        kind = "bar named" if row.is_named else "bar"
        inner = [element("span", class_=kind, style=width)]
        if row.mark is not None:
            inner.append(element("span", class_="mark", style=f"left:{100 * row.mark:.1f}%"))
        track = element("div", *inner, class_="track", aria_hidden="true")
        cells = [
            element("td", track, class_="wide"),
            element("td", f"{row.value:.2f}", class_="number"),
            element("td", row.note),
        ]
        lines.append(element("tr", element("th", row.name, scope="row"), *cells))
    if mark:
        caption = f"{caption} The line across a bar: {mark}."
    told = element("caption", caption)
    return element("table", told, element("tbody", *lines), class_="bars")


def stacked(rows: Mapping[str, Sequence[int]], names: Sequence[str], caption: str) -> Html:
    """One bar a row, cut into the shares of ``names``, each with its own pattern of colour."""
    keys = [
        element("li", element("span", class_=f"swatch c{n % 8}", aria_hidden="true"), name)
        for n, name in enumerate(names)
    ]
    lines = []
    for row, counts in rows.items():
        total = max(sum(counts), 1)
        cut = [
            element("span", class_=f"cut c{n % 8}", style=f"width:{100 * count / total:.2f}%")
            for n, count in enumerate(counts)
        ]
        track = element("div", *cut, class_="track", aria_hidden="true")
        told = ", ".join(f"{name} {n:,}" for name, n in zip(names, counts, strict=True) if n)
        cells = [
            element("td", track, class_="wide"),
            element("td", number(sum(counts)), class_="number"),
            element("td", told, class_="note"),
        ]
        lines.append(element("tr", element("th", row, scope="row"), *cells))
    grid = element("table", element("caption", caption), element("tbody", *lines), class_="bars")
    return element("div", grid, element("ul", *keys, class_="legend"))


def picture(raw: bytes, alt: str, *, sample_id: str = "", kind: str = "") -> Html:
    """A PNG or JPEG inside the page. kind: "chart" for one as wide as the page."""
    media = "png" if raw.startswith(b"\x89PNG") else "jpeg"
    source = f"data:image/{media};base64,{base64.b64encode(raw).decode()}"
    # A chart is drawn for a screen of 144 dots an inch; half of them are seen on another one.
    width = int.from_bytes(raw[16:20], "big") * 2 // 3 if kind == "chart" else ""
    return element("img", src=source, alt=alt, class_=kind, width=width, data_sample=sample_id)


def figure(inner: Html, caption: Content) -> Html:
    """A picture with what it shows below it."""
    return element("figure", inner, element("figcaption", caption))


def strip(figures: Iterable[Html], label: str = "") -> Html:
    """Pictures side by side."""
    head = element("p", label, class_="label") if label else Html("")
    return element("div", head, element("div", *figures, class_="strip"), class_="row")


def rows(strips: Iterable[Html], *, is_tight: bool = False) -> Html:
    """Strips below one another, and beside one another where there is room."""
    return element("div", *strips, class_="rows tight" if is_tight else "rows")


def write(path: Path, text: Html) -> Path:
    """Write a page, whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".page-") as folder:
        whole = Path(folder) / path.name
        whole.write_text(text, encoding="utf-8")
        whole.replace(path)
    return path
