"""The skeleton of every page."""

from pathlib import Path

import pytest

from neuro.reports import html
from neuro.reports.html import Bar, Html, Part
from neuro.reports.style import PALETTE, STYLE
from tests.monitoring.passports import HOSTILE, Reader


def read(*parts: Part, is_synthetic: bool = False) -> Reader:
    return Reader(html.page("Title", "subtitle", parts, is_synthetic=is_synthetic))


def part(body: Html, title: str = "Part") -> Part:
    return Part(anchor="part", title=title, body=body)


def test_a_page_says_research_use_at_its_top_and_its_bottom() -> None:
    text = read().text
    assert text.count(html.RESEARCH_USE) == 2
    assert "Synthetic" not in text


def test_a_page_of_synthetic_images_says_so_twice() -> None:
    assert read(is_synthetic=True).text.count(html.SYNTHETIC) == 2


def test_a_page_is_whole_and_in_a_language() -> None:
    page = read(part(html.table(("A", "B"), [("x", 1), ("y", 2)], "Caption")))
    assert page.is_whole
    assert page.all("html") == [{"lang": "en"}]


def test_a_page_may_fetch_nothing_and_run_nothing() -> None:
    (policy,) = [m["content"] for m in read().all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy


@pytest.mark.parametrize(
    "body",
    [
        html.table((HOSTILE,), [(HOSTILE,)], HOSTILE),
        html.bars([Bar(name=HOSTILE, value=0.5, note=HOSTILE)], HOSTILE, HOSTILE),
        html.stacked({HOSTILE: [1]}, [HOSTILE], HOSTILE),
        html.figure(html.picture(b"", HOSTILE, sample_id=HOSTILE), HOSTILE),
        html.strip([], HOSTILE),
        html.box(HOSTILE, HOSTILE),
        html.prose(f"`{HOSTILE}`"),
        html.element("p", HOSTILE, title=f'"{HOSTILE}'),
    ],
)
def test_every_text_is_escaped(body: Html) -> None:
    page = read(part(body, title=HOSTILE))
    assert page.all("script") == []
    assert HOSTILE in page.text


def test_backticks_are_code() -> None:
    page = Reader(html.prose("make one with `neuro ingest` today"))
    assert [tag for tag, _ in page.tags] == ["code"]
    assert page.text == "make one with neuro ingest today"


def test_a_bar_is_as_long_as_its_value_and_never_longer_than_its_track() -> None:
    page = Reader(html.bars([Bar(name="a", value=0.87), Bar(name="b", value=1.4)], ""))
    widths = [span["style"] for span in page.all("span")]
    assert widths == ["width:87.0%", "width:100.0%"]
    assert "0.87" in page.text


def test_numbers_of_a_table_stand_below_a_heading_that_stands_right_too() -> None:
    page = Reader(html.table(("Class", "Images"), [("glioma", 1490)]))
    assert [cell.get("class") for cell in page.all("th")] == [None, "number", None]
    assert "1,490" in page.text


def test_the_words_of_a_status_differ_without_colour() -> None:
    assert len(set(html.WORDS.values())) == 4


def _luminance(colour: str) -> float:
    """Of a hexadecimal colour (WCAG 2.2, relative luminance)."""
    long = colour if len(colour) == 7 else "#" + "".join(c * 2 for c in colour[1:])
    parts = [int(long[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ("#1d2126", "#f6f7f9"),
        ("#4b535c", "#fff"),
        ("#fff", "#26333f"),
        ("#fff", "#5b4a00"),
        ("#8e1b1b", "#fdeaea"),
        ("#6d4500", "#fff3d9"),
        ("#17603a", "#e6f5eb"),
        ("#4b535c", "#eef0f3"),
        ("#0b4f8a", "#fff"),
    ],
)
def test_every_text_has_the_contrast_that_wcag_asks_for(ink: str, paper: str) -> None:
    assert ink in STYLE
    assert paper in STYLE
    light, dark = sorted((_luminance(ink), _luminance(paper)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_colours_of_classes_are_distinct() -> None:
    assert len(set(PALETTE)) == 8


def test_a_page_is_written_whole_over_an_older_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        html.write(tmp_path / "deep" / "page.html", Html(text))
    assert (tmp_path / "deep" / "page.html").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["page.html"]
