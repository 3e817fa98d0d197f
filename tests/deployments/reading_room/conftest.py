"""A reading room on loopback, in this process, before a real service; opened in a real Chromium."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.runtime import Runtime

from deployments.reading_room import serve
from deployments.reading_room.backend import Servers
from deployments.reading_room.sessions import Sessions
from deployments.stack import processes
from neuro import people
from neuro.lake import releases, work_list
from neuro.lake.lake import Lake
from neuro.lake.work_list import UNCERTAIN, WorkItem, WorkKey
from tests.deployments.service.conftest import (  # noqa: F401 - fixtures
    TOKEN,
    Live,
    deliver_once,
    draw_phantoms,
    home,
    lake_of,
    live,
    model,
    trained_once,
    wait_until,
)
from tests.neuro.conftest import (  # noqa: F401 - fixtures of the tests without a server
    brain,
    deliver,
    ingest,
    lake,
    now,
    png,
    stage,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PASSWORD = "a long enough password"  # noqa: S105
ROLES = {"ana": "reader", "ben": "reader", "bob": "approver", "vic": "viewer"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

hashed = cache(people.hashed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """A reading room that runs, and the service behind it."""

    url: str
    home: Path
    service: Live

    @property
    def cookie(self) -> str:
        """The name under which a browser keeps the session."""
        return f"neuro_reading_room_{self.url.rpartition(':')[2]}"

    @property
    def lake(self) -> Lake:
        """The lake that both read."""
        return lake_of(self.home)


Open = Callable[..., AbstractContextManager[Room]]


@contextmanager
def opened(place: Path, package: str, public_url: str = "", **sessions: float) -> Iterator[Room]:
    """A room with this home for the length of a block. sessions: how long those last."""
    for name, role in ROLES.items():
        if name not in people.read(place / "people.json"):
            people.add(place / "people.json", name, role, hashed=hashed(PASSWORD))
    token = place / "service.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with ExitStack() as closing:
        service = closing.enter_context(live(place, models=[Path(package)]))
        listener = closing.enter_context(processes.listening(None, 22000))
        port = processes.port_of(listener)
        made = Sessions.__init__

        def shorter(self: Sessions, directory: Any, **named: Any) -> None:
            made(self, directory, **named, **sessions)

        patch = closing.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(Sessions, "__init__", shorter)
        app = serve.application(Servers(service=service.url), place, None, port, public_url)
        server = serve.prepared(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield Room(url=f"http://127.0.0.1:{port}", home=place, service=service)
        finally:
            server.should_exit = True
            thread.join(60)
        assert not thread.is_alive()
        Runtime._instance = None  # Streamlit knows one for each process, and forgets it never


@pytest.fixture
def open_room(home: Path, model: str) -> Open:  # noqa: F811
    """open_room(idle_s=3): a room with the home of this test."""

    def begin(public_url: str = "", **sessions: float) -> AbstractContextManager[Room]:
        return opened(home, model, public_url, **sessions)

    return begin


@pytest.fixture
def room(open_room: Open) -> Iterator[Room]:
    """One whose sessions last as they usually do."""
    with open_room() as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A phantom that nobody has seen."""
    return sorted(draw_phantoms(tmp_path / "unseen", ["glioma"], 1, seed=5).rglob("*.png"))[0]


def fill(room: Room, n: int, readers: int = 1) -> list[str]:
    """Put n images of the release on the work list; their digests, in the order of the list."""
    samples = releases.samples(room.lake, releases.find(room.lake, "brain"))[:n]
    items = [
        WorkItem(
            key=WorkKey("brain", sample.sample_id),
            dataset="brain",
            source=UNCERTAIN,
            why="a secret reason",
            added_at=datetime.now(UTC),
            readers=readers,
            rank=float(number),
        )
        for number, sample in enumerate(samples)
    ]
    work_list.add(room.lake, items)
    return [sample.sample_id for sample in samples]


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Chromium of the system."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; apt-get install chromium")
    sync_api = pytest.importorskip(
        "playwright.sync_api",
        reason="needs the extra browser: pip install -r requirements/browser.lock",
    )
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


def sign_in(browser: "Browser", room: Room, name: str, place: str = "/", **context: Any) -> "Page":
    """A page of a person who has just signed in, by the form."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}, **context).new_page()
    page.goto(f"{room.url}{place}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator("h1").first.wait_for(timeout=30_000)
    return page
