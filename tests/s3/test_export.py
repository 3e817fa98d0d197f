"""`neuro export` into a bucket: whole with its manifest, or not taken for whole."""

import csv
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from neuro.errors import ConfigError, StorageError
from neuro.storage import bucket_store
from neuro.storage.bucket_store import BucketStore
from tests.s3 import deliveries
from tests.s3.deliveries import neuro
from tests.s3.fixtures import Bucket
from tests.s3.proxy import Proxy, running

pytestmark = [pytest.mark.s3, pytest.mark.server]

DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Guard(Proxy):
    """Counts what is written, and refuses all that comes after the first few."""

    def __init__(self, upstream: str, *, allowed: int) -> None:
        super().__init__(upstream, share=0, seed=0, faults=())
        self.allowed, self.written = allowed, 0

    async def forward(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"PUT"):
            self.written += 1
            if self.written > self.allowed:
                return DENIED
        return await super().forward(head, body)


@pytest.fixture
def target(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BucketStore:
    """An empty prefix, and beside the test a lake of eight images in a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    deliveries.ingest(deliveries.drawn(tmp_path / "first", 8), "lake")
    return bucket_store.open(f"s3://{bucket.name}/out", bucket.endpoint)


def rows(target: BucketStore) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(target.read("manifest.csv").decode())))


@pytest.mark.parametrize("place", ["bucket", "folder"])
def test_each_object_has_the_digest_that_manifest_and_metadata_say(
    bucket: Bucket, target: BucketStore, tmp_path: Path, place: str
) -> None:
    lake = bucket.uri if place == "bucket" else "lake"
    deliveries.ingest(tmp_path / "first", lake)
    done = neuro("export", "current", target.place.uri, "--lake", lake)
    assert done["folder"] == target.place.uri
    assert hashlib.sha256(target.read("manifest.csv")).hexdigest() == done["manifest_sha256"]
    assert len(rows(target)) == done["n"] == 8
    for row in rows(target):
        digest = hashlib.sha256(target.read(row["file"])).hexdigest()
        assert digest == row["file_sha256"] == row["stored_sha256"] == target.digest(row["file"])
    names = {row["file"] for row in rows(target)} | {"manifest.csv", "croissant.json"}
    assert {entry.key for entry in target.entries()} == names


def test_preprocessed_it_is_what_a_folder_would_be(target: BucketStore, tmp_path: Path) -> None:
    asked = ["--lake", "lake", "--preprocessed", "--size-px", "64"]
    here = neuro("export", "current", str(tmp_path / "here"), *asked)
    there = neuro("export", "current", target.place.uri, *asked)
    assert there["manifest_sha256"] == here["manifest_sha256"]
    raw = target.read(rows(target)[0]["file"])
    assert np.load(io.BytesIO(raw), allow_pickle=False).shape == (1, 64, 64)


def test_an_export_cut_short_has_no_manifest_and_the_second_run_sends_what_is_missing(
    bucket: Bucket, target: BucketStore
) -> None:
    asked = ["export", "current", target.place.uri, "--lake", "lake"]
    with running(Guard(bucket.endpoint, allowed=5)) as proxy:
        done = CliRunner().invoke(app, [*asked, "--endpoint", proxy.url])
        assert isinstance(done.exception, StorageError)
    assert len(list(target.entries())) == 5
    assert target.find("manifest.csv") is None
    with running(Guard(bucket.endpoint, allowed=100)) as proxy:
        neuro(*asked, "--endpoint", proxy.url)
        assert proxy.written == 3 + 2
    assert len(rows(target)) == 8


def test_the_manifest_is_the_last_to_come(bucket: Bucket, target: BucketStore) -> None:
    with running(Guard(bucket.endpoint, allowed=9)) as proxy:
        asked = ["export", "current", target.place.uri, "--lake", "lake"]
        CliRunner().invoke(app, [*asked, "--endpoint", proxy.url])
    left = {entry.key for entry in target.entries()}
    assert len(left) == 9
    assert "manifest.csv" not in left


def test_the_same_export_again_writes_nothing_and_another_is_refused(
    bucket: Bucket, target: BucketStore
) -> None:
    asked = ["export", "current", target.place.uri, "--lake", "lake"]
    first = neuro(*asked)
    with running(Guard(bucket.endpoint, allowed=0)) as proxy:
        assert neuro(*asked, "--endpoint", proxy.url) == first
        assert proxy.written == 0
    other = CliRunner().invoke(app, [*asked, "--endpoint", bucket.endpoint, "--preprocessed"])
    assert isinstance(other.exception, ConfigError)
    assert "another export" in str(other.exception)


def test_a_prefix_with_other_objects_is_left_alone(target: BucketStore) -> None:
    target.write("notes.txt", b"mine")
    done = CliRunner().invoke(app, ["export", "current", target.place.uri, "--lake", "lake"])
    assert isinstance(done.exception, ConfigError)
    assert "notes.txt" in str(done.exception)
    assert [entry.key for entry in target.entries()] == ["notes.txt"]
