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
from tests.deployments.service.conftest import TOKEN, Live
from tests.neuro.conftest import Dicom

pytestmark = pytest.mark.server

PAGE = Path("docs/service.md").read_text(encoding="utf-8")
FENCES = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
CURLS = [line for kind, text in FENCES if kind == "bash" for line in text.splitlines()]
CURLS = [line for line in CURLS if line.startswith("curl")]
PYTHON = "".join(text for kind, text in FENCES if kind == "python")


@pytest.fixture
def scans(served: Live, images: list[bytes], tmp_path: Path, dicom: Dicom) -> Path:
    """A folder with the files that the page names; one of them was asked about."""
    featurize.fn(features="thumb")
    (tmp_path / "scan.png").write_bytes(images[0])
    (tmp_path / "slice.dcm").write_bytes(dicom())
    assert served.ask(images[0]).status_code == 200
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("line", CURLS)
def test_every_curl_on_the_page_is_answered(
    served: Live, scans: Path, images: list[bytes], line: str
) -> None:
    known = {"TOKEN": TOKEN, "ADDRESS": served.url}
    known["SHA256"] = hashlib.sha256(images[0]).hexdigest()
    done = subprocess.run(
        ["bash", "-c", f"{line} --fail-with-body"],
        cwd=scans,
        env={**os.environ, **known, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    assert "/metrics" in line or json.loads(done.stdout)


def test_every_route_has_a_curl(served: Live) -> None:
    routes = served.send("GET", "/openapi.json").json()["paths"]
    for path in (*routes, "/metrics", "/openapi.json"):
        assert any(line.endswith(f"$ADDRESS{path}") for line in CURLS), path


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
