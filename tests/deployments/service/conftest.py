"""A service on loopback, in this process: real sockets, real children, a package of phantoms."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.service import serve
from deployments.service.config import ServiceConfig
from deployments.service.service import Service
from deployments.stack import processes
from neuro.client import Client
from neuro.lake.lake import Lake
from neuro.problems import problem as problems
from neuro.uncertainty.cases import CaseCalibration
from tasks.runtime import settings
from tests.flows.conftest import (  # noqa: F401 - fixtures
    LABELS,
    deliver_once,
    draw_phantoms,
    home,
    model,
    registered,
    trained_once,
)
from tests.neuro.conftest import dicom  # noqa: F401 - a fixture
from tests.neuro.prediction.sealed import untrained

TOKEN = "neuro_of_the_tests_that_is_long_enough"  # noqa: S105
Start = Callable[..., AbstractContextManager["Live"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """A service that runs. service: what stands behind its routes. client: may do everything."""

    url: str
    home: Path
    service: Service
    client: Client

    def send(self, method: str, path: str, token: str = TOKEN, **content: Any) -> httpx.Response:
        """A request as a program sends it."""
        known = {"authorization": f"Bearer {token}"} if token else {}
        headers = known | content.pop("headers", {})
        return httpx.request(
            method, f"{self.url}{path}", headers=headers, timeout=60, trust_env=False, **content
        )

    def ask(self, *images: bytes, token: str = TOKEN, **fields: str) -> httpx.Response:
        """What the service answers to images."""
        files = [("files", (f"{n}.png", image)) for n, image in enumerate(images)]
        return self.send("POST", "/v1/predictions", token, files=files, data=fields)


@contextmanager
def live(place: Path, **config: Any) -> Iterator[Live]:
    """A service with this home for the length of a block; ended as by a signal."""
    built: list[Service] = []
    made = Service.__init__

    def remember(service: Service, *given: Any) -> None:
        made(service, *given)
        built.append(service)

    wanted = ServiceConfig(**{"engine": "onnxruntime", "rate": "100000/minute"} | config)
    with processes.listening(None, 21000) as listener, pytest.MonkeyPatch.context() as patch:
        port = processes.port_of(listener)
        patch.setattr(Service, "__init__", remember)
        server = serve.prepared(wanted, port, TOKEN, place)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        url = f"http://127.0.0.1:{port}"
        client = Client(url, TOKEN)
        running = Live(url=url, home=place, service=built[0], client=client)
        try:
            wait_until(lambda: server.started and running.service.is_loaded)
            yield running
        finally:
            client.__exit__(None, None, None)
            server.should_exit = True
            thread.join(60)
        assert not thread.is_alive()


def wait_until(is_so: Callable[[], object], seconds: float = 30.0) -> None:
    """Return when it is so; fail where it does not become so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.02)


def lake_of(place: Path) -> Lake:
    """The lake of a home."""
    return Lake(str(place / "lake"))


@pytest.fixture
def start(home: Path, monkeypatch: pytest.MonkeyPatch) -> Start:  # noqa: F811
    """start(models=[...]): a service with the home of this test."""
    monkeypatch.setattr(settings, "cores", lambda: 1)

    def begin(**config: Any) -> AbstractContextManager[Live]:
        return live(home, **config)

    return begin


@pytest.fixture
def served(start: Start, model: str) -> Iterator[Live]:  # noqa: F811
    """A service that answers by the package of the phantoms."""
    with start(models=[Path(model)]) as running:
        yield running


@pytest.fixture
def ruled(tmp_path: Path) -> Path:
    """A package that has a rule for cases, and no temperature of theirs."""
    rule = CaseCalibration(rule="mean", class_quantiles=(1.0,) * 4, class_counts=(50,) * 4)
    brain = problems.load("brain")
    return untrained(tmp_path / "ruled", "brain", brain.classes, brain.preprocess, cases=rule)


@pytest.fixture
def images(tmp_path: Path) -> list[bytes]:
    """Eight phantoms that nobody has seen, two of each label."""
    folder = draw_phantoms(tmp_path / "unseen", LABELS, 2, seed=5)
    return [path.read_bytes() for path in sorted(folder.rglob("*.png"))]
