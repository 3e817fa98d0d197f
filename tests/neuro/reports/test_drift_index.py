"""The page that leads to the drift reports of a problem."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuro.promotion.verdict_log import OVERRULE, Judged, Response
from neuro.reports import drift_index

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)


def judged(window: str, report: Path, *responses: Response) -> Judged:
    return Judged(
        cause=window,
        problem="brain",
        window=window,
        model="3",
        found="label",
        reason="<b>Harm is suspected</b>",
        at=NOW,
        days=7.0,
        until=NOW,
        body={"report": str(report), "signals": ()},
        responses=responses,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("there.html", "a b.html"):
        (tmp_path / name).write_text("a report")
    return tmp_path


def page(folder: Path, *found: Judged) -> str:
    return drift_index.draw(folder / "i.html", "brain", found, synthetic=True).read_text()


def test_a_window_leads_to_its_report_where_that_lies_beside_the_page(folder: Path) -> None:
    html = page(
        folder,
        *(judged("one", folder / "there.html"), judged("two", folder / "a b.html")),
        *(judged("gone", folder / "gone.html"), judged("else", folder / "other" / "there.html")),
    )
    assert '<a href="there.html">one</a>' in html
    assert '<a href="a%20b.html">two</a>' in html
    assert html.count("<a href") == 2
    assert "gone" in html


def test_a_report_is_of_the_last_verdict_that_names_it(folder: Path) -> None:
    html = page(folder, judged("old", folder / "there.html"), judged("new", folder / "there.html"))
    assert '<a href="there.html">new</a>' in html
    assert html.count("<a href") == 1


def test_the_last_verdict_comes_first_and_what_is_written_is_text(folder: Path) -> None:
    html = page(folder, judged("first", folder / "-"), judged("last", folder / "-"))
    assert html.index(">last<") < html.index(">first<")
    assert "<b>Harm" not in html
    assert "Synthetic images" in html


def test_what_holds_stands_beside_what_was_found_and_who_said_so(folder: Path) -> None:
    said = Response(said=OVERRULE, who="ana", reason="the coil", at=NOW, outcome="steady")
    html = page(folder, judged("one", folder / "-", said))
    assert '<span class="chip fine">steady</span> found: label' in html
    assert "overrule to steady, by ana" in html
    assert "the coil" not in html  # it may name a patient
