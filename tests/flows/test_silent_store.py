"""A store that takes calls and never answers ends each way to it by NEURO_S3_DEADLINE_S."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.erase import erase
from flows.ingest import ingest
from neuro.errors import StorageError
from tests.flows.conftest import Draw
from tests.s3.fixtures import log_in

PLACE = "s3://images/some"
Fails = Callable[..., None]


@pytest.fixture
def fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fails]:
    """Call a verb or flow that asks a silent store: it ends soon, and says by which deadline."""
    log_in(monkeypatch, ("a", "b"))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, as far as a client can see
        monkeypatch.setenv("NEURO_S3_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("NEURO_S3_DEADLINE_S", "0.6")

        def call(flow: Callable[..., object], message: str = "within 0.6 s", **given: str) -> None:
            started = perf_counter()
            with pytest.raises(StorageError, match=message):
                flow(**given)
            assert perf_counter() - started < 15  # one try of the default deadline takes 30

        yield call


def verb(*arguments: str) -> None:
    CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_check_of_a_server(fails: Fails) -> None:
    fails(lambda: verb("check", PLACE))


def test_a_bucket_that_is_made(fails: Fails) -> None:
    fails(lambda: verb("bucket", "create", PLACE), message="Read timeout")


def test_a_source(fails: Fails) -> None:
    fails(ingest.fn, source=PLACE)


def test_an_inbox(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURO_INBOX", PLACE)
    fails(ingest.fn)


def test_originals_that_are_copied_and_removed(fails: Fails, draw: Draw) -> None:
    delivery = draw(["glioma", "notumor"], 1)
    fails(ingest.fn, source=str(delivery), landing=PLACE)
    ingest.fn(source=str(delivery))
    # The place was noted when it was first tried, so an erasure looks there.
    fails(erase.fn, sample="glioma/delivery_0_000.png", reason="x")


def test_the_proof_of_an_erasure(fails: Fails, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.fn(source=str(draw(["glioma", "notumor"], 1)))
    monkeypatch.setenv("NEURO_INBOX", PLACE)
    fails(erase.fn, sample="glioma/delivery_0_000.png", reason="x")
