"""What a run shows of a passport in Prefect, and that an erasure takes it back."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact
from prefect.testing.utilities import prefect_test_harness

from flows.erase import erase
from flows.ingest import ingest
from neuro.images import preview
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.problems import problem
from neuro.reports.passport_markdown import MAX_BYTES
from tasks import passport
from tests.flows.conftest import Draw
from tests.monitoring.passports import full


def artifacts() -> dict[str, Artifact]:
    with get_client(sync_client=True) as client:
        return {str(one.key): one for one in client.read_artifacts()}


@pytest.mark.slow
def test_a_run_shows_the_passport_with_pictures_and_an_erasure_takes_them_back(
    home: Path, draw: Draw
) -> None:
    ingest.fn(source=str(draw(["glioma", "notumor"], 10)))
    question, lake = problem.load("brain"), Lake(str(home / "lake"))
    release = releases.find(lake, "brain")
    gone, twin = [sample.sample_id for sample in releases.samples(lake, release)][:2]
    pictures = dict(images.undamaged(lake, release, [gone, twin]))
    cluster = [
        {"sample_id": name, "label": "glioma", "split": "train", "given_split": "test"}
        for name in pictures
    ]
    sealed = full() | {"twins": {**full()["twins"], "examples": [cluster]}, "is_synthetic": True}

    @flow
    def show() -> None:
        passport.show(lake, question, replace(release, passport=sealed))

    with prefect_test_harness(server_startup_timeout=120):  # two cores, often busy
        show()
        found = artifacts()
        assert (found["passport-brain"].type, found["passport-page-brain"].type) == (
            "table",
            "markdown",
        )
        note = str(found["passport-page-brain"].data)
        for stored in pictures.values():
            assert base64.b64encode(preview.small(stored)).decode() in note
        for word in (gone, "Research use only", "Synthetic images", "1,043 of 1,311"):
            assert word in note
        assert len(note.encode()) < MAX_BYTES
        done = erase(sample=gone, reason="consent withdrawn", who="Dr. A")
        assert done["removed"]["artifacts"] == 1
        assert "passport-page-brain" not in artifacts()
        assert "passport-brain" in artifacts()
