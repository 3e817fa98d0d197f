"""Recorded ingests into a bucket: shown in Prefect, and no credential in anything that is kept."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from deployments.stack import servers, stack
from neuro.lake import releases
from neuro.lake.lake import Lake
from tests.e2e.conftest import make_project, neuro, run
from tests.e2e.searching import places
from tests.s3 import deliveries
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]

USER = "wkvzqypr"  # part of its access key and of its secret, and of nothing else


@pytest.fixture
def project(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a stack that an ingester of the bucket has started."""
    keys = bucket.server.add_user(USER)
    asked = [bucket.uri, f"--role=ingester={USER}", "--endpoint", bucket.endpoint]
    monkeypatch.setenv("NEURO_S3_ENDPOINT", "")  # restores what --endpoint sets
    assert CliRunner().invoke(app, ["bucket", "create", *asked]).exit_code in (0, 3)
    log_in(monkeypatch, keys)
    folder = make_project(tmp_path, only="ingest")
    done = neuro(folder, "up", "--lake", bucket.uri, "--endpoint", bucket.endpoint)
    assert done.returncode == 0, done.stderr
    try:
        yield folder
    finally:
        neuro(folder, "down")


def kept(project: Path, what: str) -> list[dict[str, Any]]:
    """What Prefect shows of one kind."""
    found = stack.read(stack.state_file(project))
    assert found is not None
    with servers.client(found) as api:
        rows: list[dict[str, Any]] = api.post(f"/{what}/filter", json={}).json()
    return rows


def test_recorded_ingests_into_a_bucket_are_shown_and_no_credential_is_kept(
    bucket: Bucket, project: Path, tmp_path: Path
) -> None:
    """One by the worker, one by the command; the place and its server are known from the stack."""
    delivery = deliveries.drawn(tmp_path / "in", 8)
    prefect = str(Path(sys.executable).with_name("prefect"))
    asked = ["deployment", "run", "ingest", "-p", f"source={delivery}", "--watch"]
    done = run(project, [prefect, *asked])
    assert done.returncode == 0, done.stdout + done.stderr
    again = neuro(project, "ingest", str(delivery), "--json")
    assert json.loads(again.stdout)["repeated"] == 8, again.stderr

    release = releases.find(Lake(bucket.uri, bucket.endpoint), "brain")
    assert release.n == 8
    runs = [row for row in kept(project, "flow_runs") if row["state_type"] == "COMPLETED"]
    completed = [row["name"] for row in runs]
    assert completed.count(f"ingest {release.name}") == 2
    shown = [row["key"] for row in kept(project, "artifacts")]
    assert shown.count("passport-brain") == 2
    assert neuro(project, "down").returncode == 0
    home = project / ".neuro"
    assert not list(home.glob("lake*"))
    assert "prefect/prefect.db:log" in places(home, release.name)
    assert places(home, USER) == set()
