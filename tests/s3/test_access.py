"""The roles of `neuro bucket create` on a server that checks signatures and policies."""

from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from deployments.cli import app
from neuro.errors import StorageError
from neuro.store import images, objects, releases
from neuro.store.lake import Lake
from tests.s3 import deliveries
from tests.s3 import server as ceph
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]

LogIn = Callable[[str], objects.Objects]


@pytest.fixture
def log_in_as(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """A bucket with a lake in it, and a user for each role; gives the objects as one sees them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    keys = {
        role: bucket.server.add_user(f"{role}-{bucket.name}") for role in ("reader", "ingester")
    }
    roles = [f"--role={role}={role}-{bucket.name}" for role in keys]
    made = CliRunner().invoke(app, ["bucket", "create", bucket.uri, *roles])
    # 3: this server refuses encryption, and says so; a refused policy would be 1.
    assert made.exit_code in (0, 3), made.output
    deliveries.ingest(deliveries.drawn(tmp_path / "first", 4), bucket.uri)

    def log_in_as(role: str) -> objects.Objects:
        log_in(monkeypatch, keys.get(role, ceph.OWNER))
        return objects.open(bucket.uri, bucket.endpoint)

    return log_in_as


def test_the_reader_reads_a_release(log_in_as: LogIn, bucket: Bucket) -> None:
    log_in_as("reader")
    lake = Lake(bucket.uri, bucket.endpoint)
    release = releases.find(lake, "brain")
    samples = releases.samples(lake, release)
    assert len(samples) == 4
    assert images.damaged(lake, release, samples) == []


def test_the_reader_cannot_write_replace_or_delete(log_in_as: LogIn, bucket: Bucket) -> None:
    seen = log_in_as("reader")
    held = next(iter(seen.list())).key
    for refused in (
        lambda: seen.write("new", b"x"),
        lambda: seen.write(held, b"x"),
        lambda: seen.write_once("new", b"x"),
        lambda: seen.delete(held),
    ):
        with pytest.raises(StorageError, match="access denied"):
            refused()
    assert log_in_as("owner").find(held) is not None


def test_the_ingester_ingests(log_in_as: LogIn, bucket: Bucket, tmp_path: Path) -> None:
    log_in_as("ingester")
    receipt = deliveries.ingest(deliveries.drawn(tmp_path / "more", 4, seed=1), bucket.uri)
    assert receipt["accepted"] == 4


def test_the_ingester_deletes_no_image(log_in_as: LogIn, bucket: Bucket) -> None:
    seen = log_in_as("ingester")
    held = next(e.key for e in seen.list() if e.key.startswith("images.lance/data/"))
    with pytest.raises(StorageError, match="access denied"):
        seen.delete(held)
    client = boto3.Session().client("s3", endpoint_url=bucket.endpoint, region_name="us-east-1")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_objects(
            Bucket=bucket.name, Delete={"Objects": [{"Key": f"{seen.place.prefix}/{held}"}]}
        )


def test_no_role_reaches_beyond_the_prefix(log_in_as: LogIn, bucket: Bucket) -> None:
    log_in_as("owner")
    objects.open(f"s3://{bucket.name}/other", bucket.endpoint).write("secret", b"x")
    for role in ("reader", "ingester"):
        log_in_as(role)
        with pytest.raises(StorageError, match="access denied"):
            objects.open(f"s3://{bucket.name}/other", bucket.endpoint).read("secret")


def test_wrong_keys_get_nothing(
    log_in_as: LogIn, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = next(iter(log_in_as("owner").list())).key
    for keys in (("nobody", "nothing"), (ceph.OWNER[0], "wrong")):
        log_in(monkeypatch, keys)
        seen = objects.open(bucket.uri, bucket.endpoint)
        for refused in (lambda s=seen: list(s.list()), lambda s=seen: s.read(held)):
            with pytest.raises(StorageError, match="access denied"):
                refused()


def test_roles_given_again_replace_the_earlier_ones(log_in_as: LogIn, bucket: Bucket) -> None:
    log_in_as("owner")
    CliRunner().invoke(
        app, ["bucket", "create", bucket.uri, f"--role=ingester=ingester-{bucket.name}"]
    )
    with pytest.raises(StorageError, match="access denied"):
        list(log_in_as("reader").list())
