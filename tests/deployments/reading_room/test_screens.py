"""The pages in a real Chromium, before a real service, by mouse and by keyboard."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from neuro.lake import journal, work_list
from neuro.lake.work_list import FINAL, FIRST, WorkKey
from neuro.promotion import verdict_log
from tests.deployments.reading_room.conftest import Open, Room, draw_phantoms, fill, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

SCREENS = ("", "ask", "work", "browse", "drift", "judge", "incidents")
DRAWN = '[data-testid="stApp"][data-test-script-state="notRunning"]'
LABELS = ("glioma", "meningioma", "notumor", "pituitary")


@contextmanager
def person(
    browser: "Browser", room: Room, name: str, place: str = "/", **context: Any
) -> "Iterator[Page]":
    page = sign_in(browser, room, name, place, **context)
    try:
        yield page
    finally:
        page.context.close()


def asked(page: "Page", image: Path) -> "Locator":
    page.locator("input[type=file]").set_input_files(image)
    verdict = page.locator(".verdict").first
    verdict.wait_for(timeout=30_000)
    return verdict


def test_every_number_of_an_answer_is_the_services_own(
    browser: "Browser", room: Room, image: Path
) -> None:
    (said,) = room.service.client.predict(image)
    with person(browser, room, "ana", "/ask") as page:
        asked(page, image)
        rows = page.locator("table.bars tbody tr").all()
        shown = {
            row.locator("th").inner_text(): row.locator("td.number").inner_text() for row in rows
        }
        assert shown == {name: f"{value:.4f}" for name, value in said.probabilities.items()}
        page.get_by_text("Where it looked").wait_for(timeout=60_000)
        page.locator(DRAWN).wait_for(timeout=60_000)  # what is drawn again folds it
        page.get_by_text("The service's own words").click()
        words = page.locator("[data-testid=stExpander] code").filter(has_text="reason").last
        words.wait_for()  # it unfolds, and is empty until its colours are there
        raw = json.loads(words.inner_text())
        assert raw["probabilities"] == said.probabilities
        assert raw["reason"] == said.reason


def test_nothing_of_a_question_is_kept_until_a_person_says_so(
    browser: "Browser", room: Room, image: Path
) -> None:
    with person(browser, room, "ana", "/ask") as page:
        asked(page, image)
        page.get_by_role("heading", name="Where it looked").wait_for(timeout=60_000)
        assert room.service.service.log.waiting() == 0
        assert room.lake.read("requests").num_rows == 0
        page.get_by_text("Report a problem").click()
        page.get_by_label("What is wrong with this answer?").fill("it is <b>upside</b> down")
        page.get_by_role("button", name="Report", exact=True).click()
        page.get_by_text("It stands in the journal").wait_for(timeout=30_000)
    (line,) = journal.entries(room.lake, "incident")
    assert (line.body["who"], line.body["reason"]) == ("ana", "it is <b>upside</b> down")
    assert line.body["prediction"]["predicted"]


def test_a_problem_with_one_of_several_images_is_reported(
    browser: "Browser", room: Room, tmp_path: Path
) -> None:
    """Asked for by itself, its numbers may differ in the last digit."""
    folder = draw_phantoms(tmp_path / "several", ["glioma"], 3, seed=7)
    with person(browser, room, "ana", "/ask") as page:
        page.locator("input[type=file]").set_input_files(sorted(folder.rglob("*.png")))
        page.get_by_role("heading", name="Where it looked").wait_for(timeout=60_000)
        page.get_by_text("Report a problem").click()
        page.get_by_label("What is wrong with this answer?").fill("odd")
        page.get_by_role("button", name="Report", exact=True).click()
        page.get_by_text("It stands in the journal").wait_for(timeout=30_000)
    assert len(journal.entries(room.lake, "incident")) == 1


def test_a_file_that_is_no_image_is_refused_with_the_reason(
    browser: "Browser", room: Room, tmp_path: Path
) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear colleague")
    with person(browser, room, "ana", "/ask") as page:
        assert "cannot be read as an image" in asked(page, path).inner_text()


def test_the_picture_zooms_moves_and_shows_the_map_by_keyboard(
    browser: "Browser", room: Room, image: Path
) -> None:
    with person(browser, room, "ana", "/ask") as page:
        asked(page, image)
        page.get_by_role("heading", name="Where it looked").wait_for(timeout=60_000)
        stage = page.locator(".stage").first
        stage.focus()
        for key in ("+", "ArrowLeft"):
            page.keyboard.press(key)
        moved = page.locator(".layers").first.evaluate("each => each.style.transform")
        assert moved == "translate(30px, 0px) scale(1.25)"
        page.keyboard.press("f")
        over = page.locator(".over").first
        assert over.evaluate("each => each.style.opacity") == "0"
        page.keyboard.press("o")
        assert over.evaluate("each => each.style.opacity") == "0.5"
        assert over.evaluate("each => each.naturalWidth") > 0
        page.keyboard.press("s")
        assert page.locator(".stage").nth(1).is_visible()


def test_pictures_lie_at_no_address(browser: "Browser", room: Room, image: Path) -> None:
    fill(room, 1)
    with person(browser, room, "ana", "/ask") as page:
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        asked(page, image)
        page.get_by_role("heading", name="Where it looked").wait_for(timeout=60_000)
        page.goto(f"{room.url}/work")
        page.locator("img.base").first.wait_for(timeout=30_000)
        page.goto(f"{room.url}/browse")
        page.locator("li img").first.wait_for(timeout=30_000)
        sources = page.evaluate("() => [...document.images].map(each => each.src)")
    assert [url for url in addresses if urlsplit(url).path.startswith("/media")] == []
    assert [source for source in sources if not source.startswith("data:")] == []


def on_case(page: "Page", sample_id: str) -> None:
    """Wait until an item of the work list is before the reader."""
    name = re.compile(sample_id[:12])
    page.get_by_role("img", name=name).first.wait_for(timeout=30_000)


def test_images_are_read_blind_and_by_keyboard_alone(browser: "Browser", room: Room) -> None:
    ids = fill(room, 3)
    with person(browser, room, "ana", "/work") as page:
        for sample_id, key in zip(ids, "123", strict=True):
            on_case(page, sample_id)
            page.get_by_role("heading", name="What does it show?").wait_for()
            assert "a secret reason" not in page.content()
            assert page.locator(".verdict").count() == 0
            page.keyboard.press(key)
            page.get_by_role("heading", name="Does it change your read?").wait_for(timeout=30_000)
            page.get_by_text("a secret reason").wait_for(timeout=30_000)
            page.keyboard.press("k")
        page.get_by_text("Nothing waits for you.").wait_for(timeout=30_000)
    for sample_id, label in zip(ids, LABELS[:3], strict=True):
        reads = work_list.find(room.lake, WorkKey("brain", sample_id)).reads
        assert [(read.who, read.step, read.label) for read in reads] == [
            ("ana", FIRST, label),
            ("ana", FINAL, label),
        ]


def test_a_cut_connection_loses_no_read_and_stores_none_twice(
    browser: "Browser", room: Room
) -> None:
    ids = fill(room, 6)
    with person(browser, room, "ana", "/") as page:
        sockets: list[Any] = []

        def between(route: Any) -> None:
            server = route.connect_to_server()
            sockets.append((route, server))
            route.on_message(server.send)
            server.on_message(route.send)

        page.route_web_socket(re.compile(".*/_stcore/stream"), between)
        page.goto(f"{room.url}/work")
        signs = [page.get_by_role("img", name=re.compile(each[:12])).first for each in ids[1:]]
        on_case(page, ids[0])
        for number, following in enumerate([*signs, page.get_by_text("Nothing waits for you.")]):
            read(page, following, sockets if number % 2 else None)
    rows = room.lake.read("reads").to_pylist()
    assert len(rows) == len({(row["sha256"], row["step"]) for row in rows}) == 12
    labels = room.lake.read("labels", where="is_reviewed").to_pylist()
    assert sorted(row["sha256"] for row in labels) == sorted(ids)


def read(page: "Page", following: "Locator", sockets: list[Any] | None) -> None:
    """Both reads of an item, each pressed again where the page did not move: it was cut off."""
    again = page.get_by_role("heading", name="Does it change your read?")
    for key, sign in (("1", again), ("k", following)):
        if sockets is not None:
            route, server = sockets[-1]
            server.close(code=1011)
            route.close(code=1011)
        press_until(page, key, sign)


def press_until(page: "Page", key: str, sign: "Locator") -> None:
    from playwright.sync_api import TimeoutError as Late

    for late in range(1, 13):
        page.keyboard.press(key)
        with suppress(Late):
            sign.wait_for(timeout=5000)
            return
        if late % 3 == 0:  # as a reader does whose page stands still
            page.reload()
            with suppress(Late):
                sign.wait_for(timeout=10_000)
                return
    sign.wait_for(timeout=1000)


def test_a_note_is_kept_while_it_is_written_and_its_digits_are_no_answer(
    browser: "Browser", room: Room
) -> None:
    (sample_id,) = fill(room, 1)
    with person(browser, room, "ana", "/work") as page:
        on_case(page, sample_id)
        page.get_by_label("Note (optional)").press_sequentially("slice 2 of 3")
        page.wait_for_timeout(2500)
    drafts = [json.loads(path.read_text()) for path in room.home.rglob("drafts/ana/*.json")]
    assert [draft["note"] for draft in drafts] == ["slice 2 of 3"]
    assert work_list.find(room.lake, WorkKey("brain", sample_id)).reads == ()


def test_what_people_write_is_no_markup(browser: "Browser", room: Room, image: Path) -> None:
    (answer,) = room.service.client.predict(image)
    room.service.client.report(answer.sample_id, "![x](http://127.0.0.1:9/x.png) <i>odd</i> *a*")
    with person(browser, room, "vic", "/") as page:
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(f"{room.url}/incidents")
        page.get_by_text("![x](http://127.0.0.1:9/x.png) <i>odd</i> *a*").wait_for(timeout=30_000)
    assert [url for url in addresses if "x.png" in url] == []


def test_a_session_that_ends_leads_back_and_the_note_is_there(
    browser: "Browser", open_room: Open
) -> None:
    with open_room(idle_s=15.0) as room:
        fill(room, 2)
        with person(browser, room, "ana", "/work") as page:
            page.get_by_label("Note (optional)").press_sequentially("left, at the 1 edge")
            page.wait_for_timeout(2500)
            page.wait_for_url(re.compile("/sign-in"), timeout=60_000)
            page.get_by_label("Name").fill("ana")
            page.get_by_label("Password").fill("a long enough password")
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(re.compile("/work"), timeout=30_000)
            note = page.get_by_label("Note (optional)")
            note.wait_for(timeout=30_000)
            assert note.input_value() == "left, at the 1 edge"


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("vic", {"Today", "Browse", "Image", "Judge", "Incidents", "Drift"}),
        (
            "ana",
            {"Today", "Ask", "Work list", "Browse", "Image", "Judge", "Incidents", "Drift"},
        ),
    ],
)
def test_a_role_sees_its_own_pages(
    browser: "Browser", room: Room, name: str, sees: set[str]
) -> None:
    with person(browser, room, name) as page:
        links = page.locator("[data-testid=stSidebarNav] a").all_inner_texts()
        assert {link.strip() for link in links} == sees
        if "Ask" not in sees:
            page.goto(f"{room.url}/ask")
            page.locator("h1").first.wait_for(timeout=30_000)
            assert page.locator("input[type=file]").count() == 0


def test_an_image_is_opened_from_the_grid(browser: "Browser", room: Room) -> None:
    with person(browser, room, "vic", "/browse") as page:
        cell = page.locator("li button").first
        cell.wait_for(timeout=30_000)
        beginning = cell.locator("span").last.inner_text()
        cell.click()
        page.get_by_role("heading", name="Facts").wait_for(timeout=30_000)
        assert page.get_by_text(re.compile(f"^{beginning}[0-9a-f]{{52}}$")).count() >= 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_of_ours(
    browser: "Browser", room: Room, image: Path, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="extra browser").Axe()
    fill(room, 1)
    ours: list[str] = []
    with person(browser, room, "ana", "/", color_scheme=scheme) as page:
        for place in SCREENS:
            page.goto(f"{room.url}/{place}")
            page.locator("h1").first.wait_for(timeout=30_000)
            page.locator(DRAWN).wait_for(timeout=30_000)
            if place == "ask":
                asked(page, image)
                page.get_by_role("heading", name="Where it looked").wait_for(timeout=60_000)
            ours += [f"{place or 'today'}: {found}" for found in serious(axe, page)]
        page.goto(f"{room.url}/work")
        page.get_by_role("button", name="glioma").click()
        page.get_by_role("heading", name="Does it change your read?").wait_for(timeout=30_000)
        ours += [f"second read: {found}" for found in serious(axe, page)]
    assert ours == []


def serious(axe: Any, page: "Page") -> list[str]:
    """What axe finds, at 100 and at 200 %."""
    found = []
    for width, height in ((1440, 900), (720, 450)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        for each in axe.run(page).response["violations"]:
            nodes = [str(node["target"]) for node in each["nodes"]]
            if each["impact"] in ("serious", "critical"):
                found.append(f"{width} px: {each['id']}: {nodes[:3]}")
    page.set_viewport_size({"width": 1440, "height": 900})
    return found


def test_a_verdict_is_shown_over_time_and_answered_by_name(browser: "Browser", room: Room) -> None:
    signal = {"name": "features", "statistic": 70.0, "threshold": 50.0}
    for number, verdict in enumerate(("steady", "label")):
        body = {"problem": "brain", "window": f"week {number}", "verdict": verdict, "model": "3"}
        body |= {"reason": f"<b>because</b> {number}", "report": ""}
        cause = f"brain/verdict/week {number}/model-3/1"
        at = datetime(2026, 11, 16 + 7 * number, 6, tzinfo=UTC)
        verdict_log.record(room.lake, cause, body | {"signals": [signal]}, at)
    with person(browser, room, "bob", "/drift?problem=brain") as page:
        page.get_by_role("heading", name="week 1: label").wait_for(timeout=30_000)
        page.get_by_text("<b>because</b> 1").wait_for()
        strip = page.get_by_role("img", name="2 verdicts, oldest first: steady, label")
        assert strip.evaluate("image => image.complete && image.naturalWidth > 0")
        line = page.get_by_role("img", name="features as a share of its threshold")
        assert line.evaluate("image => image.complete && image.naturalWidth > 0")
        page.get_by_text("Another verdict holds in its place").click()
        page.get_by_label("Reason").fill("the new coil")
        page.get_by_role("button", name="Write it down").click()
        page.get_by_text("Written into the journal by your name").wait_for(timeout=30_000)
        page.get_by_role("cell", name="overrule to steady, by bob: the new coil").wait_for()
    (said,) = journal.entries(room.lake, "response")
    assert (said.body["who"], said.body["outcome"]) == ("bob", "steady")
