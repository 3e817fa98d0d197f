"""The frame of every page, and the parts that pages share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from neuro.reports import charts, render
from tests.monitoring.passports import HOSTILE, Reader

TEMPLATES = Path(render.__file__).with_name("templates")
STYLE = (TEMPLATES / "style.css").read_text()
PAGE = """
{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block title %}Title of {{ page.name }}{% endblock %}
{% block subtitle %}{{ page.name }}{% endblock %}
{% block content %}BODY{% endblock %}
"""


@dataclass(frozen=True)
class Page:
    name: str = "x"
    is_synthetic: bool = False


@dataclass(frozen=True)
class Counts:
    columns: list[str]
    rows: dict[str, list[int]]


def read(body: str = "", page: Page | None = None, **facts: Any) -> Reader:
    """A page with this body, which may use the shared parts and the facts."""
    template = render.environment().from_string(PAGE.replace("BODY", body))
    return Reader(template.render(page=page or Page(), **facts))


def test_a_page_says_research_use_at_its_top_and_its_bottom() -> None:
    text = read().text
    assert text.count(render.RESEARCH_USE) == 2
    assert "Synthetic" not in text


def test_a_page_of_synthetic_images_says_so_twice() -> None:
    assert read(page=Page(is_synthetic=True)).text.count(render.SYNTHETIC) == 2


def test_a_page_is_whole_and_in_a_language() -> None:
    page = read('{{ parts.table(("A", "B"), [("x", 1), ("y", 2)], "Caption") }}')
    assert page.is_whole
    assert page.all("html") == [{"lang": "en"}]


def test_a_page_may_fetch_nothing_and_run_nothing() -> None:
    (policy,) = [m["content"] for m in read().all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy


def test_a_template_that_names_what_is_not_there_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="colour"):
        read("{{ page.colour }}")


@pytest.mark.parametrize(
    "body",
    [
        "{{ text }}",
        "{{ parts.table((text,), [(text,)], text) }}",
        "{{ parts.cards([(1, text)]) }}",
        "{% call parts.bars(text, text) %}{{ parts.bar(text, 0.5, text) }}{% endcall %}",
        "{{ parts.shares(counts, text) }}",
        "{% call parts.strip(text) %}{{ text }}{% endcall %}",
        "{% call parts.figure(b'x', text, text) %}{{ text }}{% endcall %}".replace("b'x'", "raw"),
        "{% call parts.section(text, text, text) %}{{ text }}{% endcall %}",
        "{{ parts.chart(raw, text) }}{{ text }}",
        "{{ parts.short(text) }}{{ text }}",
        "{{ ('`' ~ text ~ '`') | code }}",
    ],
)
def test_every_text_is_escaped(body: str) -> None:
    counts = Counts(columns=[HOSTILE], rows={HOSTILE: [1]})
    page = read(body, Page(name=HOSTILE), text=HOSTILE, counts=counts, raw=b"x")
    assert page.all("script") == []
    assert page.is_whole
    assert page.text.count(HOSTILE) >= 4  # in the title, twice; below it; and in the body


def test_backticks_are_code() -> None:
    page = read("{{ 'make one with `neuro ingest` today' | code }}")
    assert len(page.all("code")) == 1
    assert "make one with neuro ingest today" in page.text


def test_a_bar_is_as_long_as_its_value_and_never_longer_than_its_track() -> None:
    page = read(
        "{% call parts.bars('') %}{{ parts.bar('a', 0.87) }}{{ parts.bar('b', 1.4) }}{% endcall %}"
    )
    widths = [span["style"] for span in page.all("span")]
    assert widths == ["width:87.00%", "width:100.00%"]
    assert "0.87" in page.text


def test_equal_shares_are_named_by_their_own_columns() -> None:
    counts = Counts(columns=["train", "val", "test"], rows={"glioma": [5, 0, 5]})
    page = read("{{ parts.shares(counts, '') }}", counts=counts)
    assert "train 5, test 5" in page.text
    assert [span["style"] for span in page.all("span") if "style" in span] == [
        "width:50.00%",
        "width:0.00%",
        "width:50.00%",
    ]


def test_numbers_of_a_table_stand_below_a_heading_that_stands_right_too() -> None:
    page = read('{{ parts.table(("Class", "Images"), [("glioma", 1490)]) }}')
    assert [cell.get("class") for cell in page.all("th")] == [None, "number", None]
    assert "1,490" in page.text


def test_the_words_of_a_status_differ_without_colour() -> None:
    assert len(set(render.STATUS_WORDS.values())) == 4


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


def test_the_colours_of_classes_are_distinct_and_the_same_in_charts_and_bars() -> None:
    assert len(set(charts.PALETTE)) == 8
    for number, colour in enumerate(charts.PALETTE):
        assert f".c{number} {{background: {colour}}}" in STYLE


def test_a_page_is_written_whole_over_an_older_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        render.write(tmp_path / "deep" / "page.html", text)
    assert (tmp_path / "deep" / "page.html").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["page.html"]
