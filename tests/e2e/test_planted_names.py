"""200 names planted in files and file names: what a recorded ingest and training keep of them."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.ingest import quarantine_decisions
from neuro.lake import quarantine
from neuro.lake.lake import Lake
from neuro.lake.quarantine import Decision
from tests.e2e.conftest import PROJECT, make_project, python
from tests.e2e.searching import places
from tests.neuro.carriers import CARRIERS, Plant, a_name, dicom, encoded

pytestmark = pytest.mark.server

INSIDE, OUTSIDE = "Qzuxvejb", "Jyqfwoxk"  # part of each name in a file, and of each name of a file
CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
CONTROL = "wkvzqypr"
MORE: dict[str, Plant] = {
    "DICOM patient": lambda name, picture: dicom(picture, PatientID=name, PatientName=name),
    "file name": lambda name, picture: encoded(picture, "PNG"),
}
RECORDED = """
import json, sys
from pathlib import Path
from deployments import console
from deployments.stack import stack

with stack.running(stack.StackConfig(project=Path.cwd()), console.say):
    receipt = console.call("ingest", is_local=False, source={source!r}, problem={names!r})
    trained = console.call("train", is_local=False, problem={names!r}, config={{"epochs": 1}})
    console.call("predict", is_local=False, problem={names!r}, model=trained["model"])
print(json.dumps(receipt))
"""


def plant(folder: Path, n: int) -> None:
    """Write n files, each with a name of its own on one carrier."""
    rng = np.random.default_rng(20261120)
    plants = list((CARRIERS | MORE).items())
    for turn in range(n):
        carrier, put = plants[turn % len(plants)]
        is_outside = carrier == "file name"
        name = " ".join(
            (OUTSIDE if is_outside else INSIDE) + part for part in a_name(rng).lower().split()
        )
        picture = Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))
        path = folder / "Training" / CLASSES[turn % 4] / (name if is_outside else f"{turn}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(put(name, picture))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a stack, now stopped, has kept of a delivery with 200 names."""
    project = make_project(tmp_path_factory.mktemp("project"), only="ingest")
    delivery = tmp_path_factory.mktemp("in") / CONTROL
    plant(delivery, 200)
    assert places(delivery, INSIDE)
    own = project / "own.toml"
    text = (PROJECT / "neuro" / "problems" / "builtin" / "brain.toml").read_text()
    own.write_text(text.replace('names = "keep"', 'names = "digest"'))
    receipt = json.loads(python(project, RECORDED.format(source=str(delivery), names=str(own))))
    assert receipt["seen"] == 200
    assert receipt["accepted"] > 150
    return project / ".neuro"


def test_the_search_finds_a_word_however_it_is_written(tmp_path: Path) -> None:
    told = f"seen by Dr {CONTROL.title()}, 2026"
    written = {
        "plain": told.upper().encode(),
        "wide": told.encode("utf-16"),
        **{f"base64, {n}": base64.b64encode(told[n:].encode()) for n in range(3)},
    }
    for name, raw in written.items():
        (tmp_path / name).write_bytes(b"\0" * 100 + raw)
    (tmp_path / "other").write_bytes(b"nothing of the kind")
    assert places(tmp_path, CONTROL) == set(written)


def test_the_search_finds_what_is_known_to_be_in_prefect_mlflow_and_the_lake(home: Path) -> None:
    assert {"prefect/prefect.db:flow_run", "prefect/prefect.db:log"} <= places(home, CONTROL)
    (release,) = Lake(str(home / "lake")).read("releases")["name"].to_pylist()
    found = places(home, release)
    assert {"prefect/prefect.db:artifact", "mlflow/mlflow.db:datasets"} <= found
    assert {"lake/releases.lance", "mlflow/mlflow.db:params"} <= found
    assert any(place.startswith("mlflow/artifacts/") for place in found)
    assert any(place.startswith("packages/") for place in found)


def test_no_name_in_a_file_is_kept_but_with_what_waits_until_a_person_discards_it(
    home: Path,
) -> None:
    found = places(home, INSIDE)
    assert found
    assert all(place.startswith("lake/quarantine.lance") for place in found)
    lake, now = Lake(str(home / "lake")), datetime.now(UTC)
    waiting = [row.sha256 for row in quarantine.waiting(lake, "brain")]
    quarantine_decisions.discard(
        lake, "brain", waiting, Decision(action="discard", who="A", label="", why="-"), now
    )
    assert places(home, INSIDE) == set()


def test_the_name_of_a_file_is_kept_nowhere(home: Path) -> None:
    assert places(home, OUTSIDE) == set()
