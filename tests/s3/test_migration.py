"""A lake of version 1 in a bucket: who may only read it does, and who may write migrates it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from neuro.errors import DeniedError
from neuro.lake import branches, images, journal, migration, releases
from neuro.lake.lake import Lake
from neuro.storage import bucket_store
from tests.fixtures import lakes
from tests.s3 import server as ceph
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]

ROLES = ("reader", "trainer", "ingester")
NOW = datetime(2026, 12, 1, tzinfo=UTC)

OpenAs = Callable[[str], Lake]


@pytest.fixture(scope="module")
def users(s3_server: ceph.Server) -> dict[str, tuple[str, str]]:
    return {role: s3_server.add_user(f"{role}-of-old") for role in ROLES}


@pytest.fixture
def open_as(
    bucket: Bucket,
    users: dict[str, tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> OpenAs:
    """A bucket with a lake of version 1, as a user of each role opens it."""
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    roles = [f"--role={role}={role}-of-old" for role in ROLES]
    made = CliRunner().invoke(app, ["bucket", "create", bucket.uri, *roles])
    assert made.exit_code in (0, 3), made.output  # 3: this server refuses encryption
    local = lakes.copy_v1(tmp_path)
    branches.drop(Lake(local), "brain", "trial")  # it knows its table by a path of this disk
    assert Lake(local).version == 1
    store = bucket_store.open(bucket.uri, bucket.endpoint)
    for path in Path(local).rglob("*"):
        if path.is_file():
            store.write(path.relative_to(local).as_posix(), path.read_bytes())

    def open_as(role: str) -> Lake:
        log_in(monkeypatch, users[role])
        return Lake(bucket.uri, bucket.endpoint)

    return open_as


def require_whole(lake: Lake) -> None:
    for expected in lakes.MAIN:
        release = releases.find(lake, "brain", expected["name"])
        samples = releases.samples(lake, release)
        assert (release.content_hash, len(samples)) == (expected["content_hash"], expected["n"])
        assert images.damaged(lake, release, samples) == []


def test_a_reader_reads_an_old_lake_before_and_after_a_writer_migrates_it(open_as: OpenAs) -> None:
    reader = open_as("reader")
    assert reader.version == 1
    require_whole(reader)
    with pytest.raises(DeniedError, match="neuro lake migrate"):
        migration.migrate(reader)

    # The tables that a trainer may write to are not concerned, so its work need not wait.
    assert journal.record(open_as("trainer"), "test", "by a trainer", {}, NOW)
    assert open_as("reader").version == 1

    assert journal.record(open_as("ingester"), "test", "by an ingester", {}, NOW)
    reader = open_as("reader")
    assert reader.version == migration.newest()
    assert "perceptual_hash" not in reader.open("images").schema.names
    require_whole(reader)
