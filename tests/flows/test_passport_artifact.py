"""What runs show of a passport in Prefect: counts and links, and nothing that an erasure misses."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from prefect.testing.utilities import prefect_test_harness

from flows.erase import erase
from flows.ingest import ingest
from neuro.erasure import search_terms
from neuro.lake import erasure, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems import problem
from tasks import passport
from tests.e2e.searching import contents, places
from tests.flows.conftest import Draw
from tests.monitoring.passports import full


def artifacts() -> dict[str, str]:
    """What the server shows under each key, all runs together."""
    found: dict[str, str] = defaultdict(str)
    with get_client(sync_client=True) as client:
        for one in client.read_artifacts():
            found[str(one.key)] += f"{one.type}: {one.data}\n"
    return found


def database() -> Path:
    """The folder of the test server's SQLite file."""
    return Path(PREFECT_API_DATABASE_CONNECTION_URL.value().partition("///")[2]).parent


def with_twins(release: Release, sample_ids: list[str]) -> Release:
    """The release with a passport whose page shows these samples."""
    cluster = [
        {"sample_id": name, "label": "glioma", "split": "train", "given_split": "test"}
        for name in sample_ids
    ]
    twins = {**full()["twins"], "examples": [cluster]}
    return replace(release, passport=full() | {"twins": twins, "is_synthetic": True})


@pytest.mark.slow
def test_prefect_shows_counts_and_links_and_holds_no_digest_and_no_picture(
    home: Path, draw: Draw
) -> None:
    with prefect_test_harness(server_startup_timeout=120):  # two cores, often busy
        ingest(source=str(draw(["glioma", "notumor"], 10)))
        question, lake = problem.load("brain"), Lake(str(home / "lake"))
        release = releases.find(lake, "brain")
        gone, twin = releases.samples(lake, release)[:2]
        needles = search_terms.needles(erasure.payload(lake, [gone.sample_id]))

        @flow
        def show() -> None:
            passport.show(lake, question, with_twins(release, [gone.sample_id, twin.sample_id]))

        show()
        found = artifacts()
        assert found["passport-brain"].startswith("table:")
        for word in ("Research use only", "Synthetic images", "1,043 of 1,311"):
            assert word in found["passport-summary-brain"]
        page = home / "reports" / "passport" / f"{release.name}.html"
        assert page.resolve().as_uri() in found["passport-page-brain"]
        assert gone.sample_id in page.read_text()

        done = erase(sample=gone.source_name, reason="consent withdrawn", who="Dr. A")
        assert done["is_proven"]
        assert {"passport-brain", "passport-page-brain", "erasure"} <= artifacts().keys()
        folder = database()
        assert any(place.endswith(":artifact") for place in places(folder, release.name))
        assert places(folder, gone.sample_id) == set()
        assert [place for place, raw in contents(folder) if any(n in raw for n in needles)] == []
