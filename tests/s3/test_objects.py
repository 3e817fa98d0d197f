"""BucketStore on a real server: whole or an error, and never outside the folder."""

from pathlib import Path

import boto3
import pytest

from neuro.errors import ConfigError, DamagedError, StorageError
from neuro.ingest import sources
from neuro.storage import bucket_store, location
from tests.s3 import deliveries
from tests.s3.fixtures import Bucket
from tests.s3.proxy import Proxy, running

pytestmark = [pytest.mark.s3, pytest.mark.server]


def files_of(source: str, tmp_path: Path, endpoint: str) -> dict[str, bytes]:
    with sources.opened(source, tmp_path / "scratch", endpoint=endpoint) as listing:
        return {file.name: file.path.read_bytes() for file in listing.files}


def test_a_folder_comes_back_as_it_was_sent(bucket: Bucket, tmp_path: Path) -> None:
    names = ("a.png", "b/c d.txt", "b/deep/ü+%#.bin")
    for name in names:
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    source = f"s3://{bucket.name}/in"
    deliveries.upload(tmp_path / "out", bucket_store.open(source, bucket.endpoint))
    assert files_of(source, tmp_path, bucket.endpoint) == {n: n.encode() * 1000 for n in names}


@pytest.mark.parametrize("key", ["in/a/b/../../../evil.txt", "in/a/../evil.txt"])
def test_a_name_that_leaves_the_folder_is_refused(bucket: Bucket, tmp_path: Path, key: str) -> None:
    client = boto3.Session().client("s3", endpoint_url=bucket.endpoint, region_name="us-east-1")
    client.put_object(Bucket=bucket.name, Key=key, Body=b"evil")
    with pytest.raises((ConfigError, StorageError), match=r"\.\."):
        files_of(f"s3://{bucket.name}/in", tmp_path, bucket.endpoint)
    assert not list(tmp_path.rglob("evil*"))


def test_an_altered_object_is_not_read(bucket: Bucket) -> None:
    place = bucket_store.open(bucket.uri, bucket.endpoint)
    place.write("image", b"as it was")
    digest = place.digest("image")
    client = boto3.Session().client("s3", endpoint_url=bucket.endpoint, region_name="us-east-1")
    altered = {"Key": "lake/image", "Body": b"as it is!", "Metadata": {"sha256": digest}}
    client.put_object(Bucket=bucket.name, **altered)
    with pytest.raises(DamagedError, match="image"):
        place.read("image")


def test_a_key_is_created_once(bucket: Bucket) -> None:
    place = bucket_store.open(bucket.uri, bucket.endpoint)
    assert place.write_once("key", b"same") is True
    assert place.write_once("key", b"same") is False


def test_who_created_a_key_and_never_heard_of_it_still_knows(bucket: Bucket) -> None:
    with running(Proxy(bucket.endpoint, share=0.5, seed=3, faults=("lost",))) as proxy:
        place = bucket_store.open(bucket.uri, proxy.url)
        assert all(place.write_once(f"key-{n}", b"mine") for n in range(8))
    assert proxy.met["lost"] > 0


def test_cut_bodies_and_listings_are_read_again(bucket: Bucket) -> None:
    sent = {f"{n}": bytes([n]) * 5000 for n in range(8)}
    with running(Proxy(bucket.endpoint, share=0.4, seed=4, faults=("truncated",))) as proxy:
        place = bucket_store.open(bucket.uri, proxy.url)
        for key, raw in sent.items():
            place.write(key, raw)
        assert {entry.key: place.read(entry.key) for entry in place.entries()} == sent
    assert proxy.met["truncated"] > 0


def test_silence_ends_within_the_deadline_and_names_call_and_key(bucket: Bucket) -> None:
    with running(Proxy(bucket.endpoint, share=1, seed=5, faults=("hang",))) as proxy:
        place = bucket_store.open(bucket.uri, proxy.url, deadline_s=1.5)
        with pytest.raises(StorageError, match=r"read some/key of .* no answer within 1.5 s"):
            place.read("some/key")


def test_what_is_no_address_of_a_bucket_is_a_bad_request() -> None:
    for uri in ("s3://", "s3:///x", "http://bucket/x", "folder"):
        with pytest.raises(ConfigError, match="s3://bucket/prefix"):
            location.parse(uri)
