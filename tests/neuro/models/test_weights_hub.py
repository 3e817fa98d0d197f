"""Weights from a hub: a small one on loopback, which answers as the real one does, or badly."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from neuro.errors import ConfigError, NeuroError, UnknownNameError
from neuro.models import weights_hub, weights_store
from neuro.models.weights_hub import FetchLimits

SMALL = "mobilenetv3_small_050"
PLACE = "/timm/mobilenetv3_small_050.lamb_in1k/resolve/main/model.safetensors"


@contextmanager
def hub(content: bytes, *, length: int | None = None, digest: str = "") -> Iterator[str]:
    """The address of a hub that leads from its one file to where that lies, as the real one does.

    length, digest: what it says of the file; default: what is so.
    """

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == PLACE:
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                stated = digest or hashlib.sha256(content).hexdigest()
                self.send_header("X-Linked-ETag", f'"{stated}"')
                self.end_headers()
                return
            if self.path != "/elsewhere":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(length or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("NO_PROXY", "no_proxy"):
            patch.setenv(variable, "127.0.0.1")
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    save_file(timm.create_model(SMALL).state_dict(), path)
    return path.read_bytes()


def test_what_the_hub_gives_is_kept_with_its_licence_and_source(
    tmp_path: Path, content: bytes
) -> None:
    with hub(content) as address:
        kept = weights_hub.fetch(SMALL, tmp_path, address)
    assert kept.path is not None
    assert kept.path.read_bytes() == content
    assert kept.card.architecture == f"{SMALL}.lamb_in1k"
    assert kept.card.licence == "apache-2.0"
    assert kept.card.source == f"{address}{PLACE}"
    assert weights_store.find(tmp_path, SMALL) == kept


def test_a_download_that_ends_early_is_not_kept(tmp_path: Path, content: bytes) -> None:
    with (
        hub(content[:-1000], length=len(content)) as address,
        pytest.raises(ConfigError, match=r"were not fetched from .*RemoteProtocolError"),
    ):
        weights_hub.fetch(SMALL, tmp_path, address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("digest", "limits", "told"),
    [
        ("0" * 64, FetchLimits(), "is not kept: .* expected 0000"),
        ("", FetchLimits(file_bytes=1000), "gives more than 1,000 bytes"),
        ("", FetchLimits(deadline_s=0.0), "was not fetched within 0 s"),
    ],
)
def test_what_is_not_as_stated_or_beyond_the_limits_is_not_kept(
    tmp_path: Path, content: bytes, digest: str, limits: FetchLimits, told: str
) -> None:
    with hub(content, digest=digest) as address, pytest.raises(ConfigError, match=told):
        weights_hub.fetch(SMALL, tmp_path, address, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_page_instead_of_weights_is_not_kept(tmp_path: Path) -> None:
    with hub(b"<html>sign in") as address, pytest.raises(ConfigError, match="gave is not kept"):
        weights_hub.fetch(SMALL, tmp_path, address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "ftp://hub", "http://[", "nowhere"])
def test_a_hub_that_is_not_reached_is_named_with_what_helps(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=f"neuro weights add FILE --model {SMALL}"):
        weights_hub.fetch(SMALL, tmp_path, address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("cnn", ConfigError, "nobody has published weights of 'cnn'"),
        ("resnet18.bogus", UnknownNameError, "no weights 'bogus' of 'resnet18'.*resnet18.a1_in1k"),
        ("../resnet18", UnknownNameError, "no model '../resnet18'"),
        ("hf-hub:a/b", UnknownNameError, "no model 'hf-hub:a/b'"),
        ("efficientnet_b6", ConfigError, "timm knows no published weights of 'efficientnet_b6'"),
    ],
)
def test_a_network_without_weights_is_refused_before_anything_is_asked(
    tmp_path: Path, name: str, error: type[NeuroError], told: str
) -> None:
    with pytest.raises(error, match=told):
        weights_hub.fetch(name, tmp_path / "weights", "http://127.0.0.1:9")
    assert not (tmp_path / "weights").exists()


def test_each_network_that_is_named_has_a_place_that_is_asked() -> None:
    names = ("resnet18", "mobilenetv3_small_050", "efficientnet_b0", "convnext_tiny")
    for name in names:
        there = weights_hub.published(name)
        assert there.url.startswith(f"{weights_hub.HUB}/timm/{name}.")
        assert there.licence == "apache-2.0"


def test_weights_that_are_not_on_the_hub_are_fetched_from_where_timm_says() -> None:
    there = weights_hub.published("legacy_xception")
    assert there.architecture == "legacy_xception.tf_in1k"
    assert there.url.endswith("/v0.1-cadene/xception-43020ad28.pth")
