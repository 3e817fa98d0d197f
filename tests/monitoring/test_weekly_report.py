import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitoring import weekly_report
from monitoring.signals import Signal
from monitoring.verdicts import Verdict
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.features import descriptors
from neuro.reports import contact_sheet
from neuro.reports.render import SYNTHETIC

VERDICT = Verdict(
    window="week 47 <b>",
    reference="champion 3",
    signals=(
        Signal(
            name="descriptors",
            statistic=0.4123,
            threshold=0.2345,
            false_alarm_rate=0.004,
            alarm=True,
            explanation="noise moved most",
        ),
    ),
    verdict="look",
    reason="The images changed.",
)


GROUPS = [hashlib.sha256(b"group %d" % number).hexdigest() for number in range(50)]


def observed(shift: float) -> Observed:
    rng = np.random.default_rng(0)
    share = rng.uniform(size=50)
    return Observed(
        groups=np.array(GROUPS),
        descriptors=rng.normal(shift, 1, size=(50, len(descriptors.NAMES))),
        features=np.zeros((50, 1)),
        probabilities=np.column_stack((share, 1 - share)),
        confidence=np.maximum(share, 1 - share),
        correct=np.full(50, np.nan),
    )


def columns(shift: float) -> pd.DataFrame:
    return weekly_report.table(observed(shift), ("sick", "well"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("reports") / "deep" / "week.html"
    # The gap of two equal draws, one moved by 0.5, is about 0.2 to 0.3.
    written = weekly_report.build(columns(0), columns(0.5), VERDICT, path=path, synthetic=True)
    assert [entry.name for entry in written.parent.iterdir()] == ["week.html"]
    return written.read_text(encoding="utf-8")


def test_the_table_names_descriptors_and_classes() -> None:
    assert list(columns(0).columns) == [*descriptors.NAMES, "p_sick", "p_well"]


def test_the_page_says_research_use_and_synthetic_above_everything(page: str) -> None:
    start = page[page.index("<body>") :]
    assert start.index("Research use only") < start.index("root_metric")
    assert start.index(SYNTHETIC) < start.index("root_metric")


def test_the_page_shows_the_verdict_and_every_figure_of_a_signal(page: str) -> None:
    for text in ("The images changed.", "0.412", "0.234", "0.4%", "noise moved most"):
        assert text in page


def test_pictures_stand_on_the_page_with_what_they_show(tmp_path: Path) -> None:
    png = contact_sheet.draw(np.zeros((2, 4, 4, 1), np.uint8))
    shown = [weekly_report.Pictures(title="Typical of <b>now</b>", png=png)]
    path = tmp_path / "week.html"
    weekly_report.build(
        columns(0), columns(0.5), VERDICT, path=path, synthetic=False, pictures=shown
    )
    page = path.read_text(encoding="utf-8")
    assert "Typical of &lt;b&gt;now&lt;/b&gt;" in page
    assert base64.b64encode(png).decode() in page


def test_names_are_escaped(page: str) -> None:
    assert "week 47 &lt;b&gt; against champion 3" in page
    assert "week 47 <b>" not in page


def test_evidently_judges_by_our_threshold(page: str) -> None:
    assert "threshold calibrated by group" in page
    assert "K-S p_value" not in page


def test_the_page_names_no_group(page: str) -> None:
    assert [name for name in GROUPS if name in page] == []


def test_the_page_holds_the_figures_of_each_image_by_itself(page: str) -> None:
    """Evidently writes them all into it: so an erasure removes pages (neuro/erasure/)."""
    figures = [repr(float(value)) for value in columns(0.5).to_numpy().ravel()]
    assert all(figure in page for figure in figures)


def test_the_page_loads_nothing_from_outside(page: str) -> None:
    loads = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(https?:)?//", page)
    assert loads == []


def test_a_page_without_signals_says_why(tmp_path: Path) -> None:
    verdict = Verdict(window="w", reference="r", signals=(), verdict="inconclusive", reason="few")
    path = tmp_path / "w.html"
    text = weekly_report.build(
        columns(0), columns(9), verdict, path=path, synthetic=False
    ).read_text()
    assert "Too few groups to compute a signal" in text
    assert SYNTHETIC not in text


def test_an_empty_window_leaves_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one image"):
        weekly_report.build(
            columns(0), columns(0)[:0], VERDICT, path=tmp_path / "w.html", synthetic=False
        )
    assert list(tmp_path.iterdir()) == []


def test_a_classs_name_writes_nothing_into_the_page() -> None:
    odd = "</script><img src=x onerror=alert(1)>"
    names = list(weekly_report.table(observed(0), (odd, "well")).columns)
    assert not set("<>/=()") & set("".join(names[-2:]))
