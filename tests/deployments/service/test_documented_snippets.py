"""Every curl and every piece of Python on the service's page is run against a service."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.featurize import featurize
from tests.deployments.service.conftest import TOKEN, Live, Start
from tests.neuro.conftest import Dicom

pytestmark = pytest.mark.server

PAGE = Path("docs/service.md").read_text(encoding="utf-8")
FENCES = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
CURLS = [line for kind, text in FENCES if kind == "bash" for line in text.splitlines()]
CURLS = [line for line in CURLS if line.startswith("curl")]
OF_CASES = [line for line in CURLS if "case=true" in line]
PYTHON = "".join(text for kind, text in FENCES if kind == "python")

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@pytest.fixture
def scans(images: list[bytes], tmp_path: Path, dicom: Dicom) -> Path:
    """A folder with the files that the page names."""
    (tmp_path / "scan.png").write_bytes(images[0])
    (tmp_path / "slice.dcm").write_bytes(dicom())
    return tmp_path


@pytest.fixture
def known(served: Live, images: list[bytes]) -> None:
    """The release has features, and the image was asked about."""
    featurize.fn(features="thumb")
    assert served.ask(images[0]).status_code == 200


def said(line: str, url: str, scans: Path) -> str:
    """What a command of the page prints."""
    digest = hashlib.sha256((scans / "scan.png").read_bytes()).hexdigest()
    named = {"TOKEN": TOKEN, "ADDRESS": url, "SHA256": digest, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", f"{line} --fail-with-body"],
        cwd=scans,
        env={**os.environ, **named},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_curl
@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("line", [line for line in CURLS if line not in OF_CASES])
def test_every_curl_on_the_page_is_answered(served: Live, scans: Path, line: str) -> None:
    answer = said(line, served.url, scans)
    assert answer
    assert "/metrics" in line or json.loads(answer)


@needs_curl
def test_the_curl_of_a_case_is_answered_where_there_is_a_rule(
    start: Start, ruled: Path, scans: Path
) -> None:
    (line,) = OF_CASES
    with start(models=[ruled]) as served:
        assert json.loads(said(line, served.url, scans))["case"]["images"] == 2


def test_every_route_has_a_curl(served: Live) -> None:
    routes = served.send("GET", "/openapi.json").json()["paths"]
    for path in (*routes, "/metrics", "/openapi.json"):
        assert any(line.endswith(f"$ADDRESS{path}") for line in CURLS), path


@pytest.mark.usefixtures("known")
def test_the_python_on_the_page_runs(
    served: Live, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scans)
    names = {"address": served.url, "token": TOKEN}
    exec(PYTHON, names)  # noqa: S102 - of our own page
    assert len(names["cases"]) == 5  # type: ignore[arg-type]
    assert names["served"][0]["problem"] == "brain"  # type: ignore[index]
    assert all(names["pictures"])
    names["client"].__exit__(None, None, None)  # type: ignore[attr-defined]
