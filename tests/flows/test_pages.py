"""Each page as a person opens it: in Chromium, on a desk, on a telephone and on paper."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from flows.accept import accept
from flows.evaluate import evaluate
from flows.train import train
from neuro.models import package
from neuro.problems import problem as problems
from neuro.promotion import verdict_log
from neuro.training.config import TrainConfig
from tasks import drift, explain, explore, featurize, model_card, similar
from tasks.explain import Asked
from tasks.load import release_data
from tasks.load.encoders import Choice
from tasks.load.release_data import Loaded
from tasks.similar import SearchConfig
from tests.flows.conftest import LABELS, Deliver, at_home, draw_phantoms

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HAS_PLAYWRIGHT = find_spec("playwright") and find_spec("axe_playwright_python")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not HAS_PLAYWRIGHT, reason="no playwright here; `make test-pages` installs it"
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

BRAIN = problems.load("brain")
DESK, TELEPHONE = 1280, 400  # px
PAGES = (
    *("passport", "explore", "labels in doubt", "similar"),
    *("evaluation", "explanation", "card", "acceptance", "drift reports"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A page in the browser, and what it did there: words on its console, addresses it asked."""

    page: Any
    said: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def written(deliver_once: Deliver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, of 60 phantoms."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(deliver_once(15), folder / "home")
    with at_home(folder / "home") as home:
        lake = release_data.open_lake(None)
        folds = train.fn(config=TrainConfig(epochs=1, batch_size=8, model="cnn"), folds=3)
        model = train.fn(config=TrainConfig(epochs=1))["package"]
        loaded = release_data.load(lake, BRAIN)
        featurize.compute(loaded, Choice(features="thumb"))
        asked = loaded.samples[0].sample_id
        found = similar.search(lake, BRAIN, asked, SearchConfig(choice=Choice(features="thumb")))
        evaluated = evaluate.fn(model=model, split="val", stress=True)
        site = draw_phantoms(folder / "ward", LABELS, 4, seed=7)
        return {
            "passport": home / "reports" / "passport" / f"{loaded.release.name}.html",
            "explore": explore.draw(loaded),
            "labels in doubt": Path(folds["labels_in_doubt"]["page"]),
            "similar": similar.draw(lake, BRAIN, found, folder / "similar.html"),
            "evaluation": Path(evaluated["report"]),
            "explanation": explain.explain(lake, BRAIN, Asked(model=model)).page,
            "card": model_card.path_of(package.open_verified(Path(model))),
            "acceptance": Path(accept.fn(source=str(site), model=model)["page"]),
            "drift reports": _drift_index(home, loaded),
        }


def _drift_index(home: Path, loaded: Loaded) -> Path:
    """With two windows, one of them with a report."""
    signal = {"name": "descriptors", "statistic": 0.3, "threshold": 0.2, "dealt": 0.2}
    now = datetime(2026, 11, 30, 6, tzinfo=UTC)
    report = home / "reports" / "brain-w2.html"
    report.write_text("a report")
    for window, verdict in (("w1", "steady"), ("w2", "label")):
        body = {"problem": "brain", "window": window, "verdict": verdict, "signals": [signal]}
        body |= {"model": "1", "report": str(home / "reports" / f"brain-{window}.html")}
        verdict_log.record(loaded.lake, window, {**body, "reason": "See " * 40}, now)
    return drift.index(loaded.lake, BRAIN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        # As root Chromium has no sandbox of its own; the pages are ours.
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=PAGES)
def opened(request: pytest.FixtureRequest, browser: Any, written: dict[str, Path]) -> Iterator[Any]:
    """Each page of PAGES, on a desk."""
    page = browser.new_page(viewport={"width": DESK, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto(written[request.param].as_uri())
    yield Opened(page=page, said=said, asked=asked)
    page.close()


def test_a_page_asks_for_nothing_but_itself_and_reports_no_error(opened: Opened) -> None:
    opened.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    others = [url for url in opened.asked[1:] if not url.startswith("data:")]
    assert (others, opened.said) == ([], [])


@pytest.mark.parametrize("width", [DESK, TELEPHONE])
def test_axe_finds_nothing_serious(opened: Opened, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened.page.set_viewport_size({"width": width, "height": 900})
    found = Axe().run(opened.page).response["violations"]
    serious = [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_page_is_no_wider_than_a_telephone(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": TELEPHONE, "height": 900})
    assert opened.page.evaluate("document.scrollingElement.scrollWidth") <= TELEPHONE


def test_on_paper_no_table_or_picture_is_cut_off(opened: Opened) -> None:
    """On a sheet nobody can scroll to the right."""
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 718, "height": 1000})  # A4 with its margins
    cut = opened.page.evaluate(
        """() => [...document.querySelectorAll('table, img, svg')]
            .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
            .map(each => each.outerHTML.slice(0, 120))"""
    )
    assert cut == []
