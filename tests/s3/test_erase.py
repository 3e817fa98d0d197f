"""An erasure in a bucket: no object and no version of one holds the image any more."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.erase import erase as flow
from neuro.erasure import search_terms
from neuro.errors import DeniedError, ErasedError, UnknownNameError
from neuro.lake import erasure, releases
from neuro.lake.lake import Lake
from neuro.storage import bucket_setup as buckets
from neuro.storage import bucket_store, location
from tests.s3 import deliveries
from tests.s3.fixtures import Bucket, log_in
from tests.s3.proxy import FAULTS, Proxy, running

pytestmark = [pytest.mark.s3, pytest.mark.server]

Erase = Callable[[], dict[str, Any]]


def only(days: int) -> pytest.MarkDecorator:
    """Run a test in one kind of bucket: how many days it keeps versions, 0 for none."""
    return pytest.mark.parametrize("lake", [days], indirect=True)


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    return deliveries.drawn(tmp_path / "delivery", 4)


@pytest.fixture
def gone(delivery: Path) -> str:
    """The image that is to be erased."""
    raw = (delivery / "Training" / "glioma" / "0-0.png").read_bytes()
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture(params=[0, 30], ids=["no versions", "versions"])
def lake(
    request: pytest.FixtureRequest,
    bucket: Bucket,
    delivery: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lake:
    """A lake of one release, in a bucket that keeps versions and in one that does not."""
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    if request.param:
        # This server's conditional writes are not atomic there (docs/traps.md).
        monkeypatch.setenv("NEURO_S3_ALONE", "1")
        buckets.create(location.parse(bucket.uri, bucket.endpoint), [], request.param)
    deliveries.ingest(delivery, bucket.uri)
    return Lake(bucket.uri, bucket.endpoint, is_alone=bool(request.param))


@pytest.fixture
def erase(lake: Lake, gone: str) -> Erase:
    return lambda: flow.fn(sample=gone, reason="consent withdrawn", who="test", lake=lake.uri)


def everything(bucket: Bucket) -> dict[tuple[str, str], bytes]:
    """Every version of every object, and every mark, as a plain client sees them."""
    client = location.client(location.parse(bucket.uri, bucket.endpoint))
    found = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket.name):
        for each in page.get("Versions", []):
            named = {"Key": each["Key"], "VersionId": each["VersionId"]}
            body = client.get_object(Bucket=bucket.name, **named)["Body"].read()
            found[each["Key"], each["VersionId"]] = body
        for each in page.get("DeleteMarkers", []):
            found[each["Key"], each["VersionId"]] = b"mark"
    return found


def test_no_version_of_any_object_holds_an_erased_image(
    bucket: Bucket, lake: Lake, gone: str, erase: Erase
) -> None:
    needles = search_terms.needles(erasure.payload(lake, [gone]))
    plain = bucket_store.open(bucket.uri, bucket.endpoint)
    for body in (b"".join(needles), b"nothing of it"):
        plain.write("notes.bin", body)
    plain.write("other.bin", needles[0])
    plain.delete("other.bin")
    before = everything(bucket)
    held = [key for key, body in before.items() if any(needle in body for needle in needles)]
    assert held
    done = erase()
    assert (done["found"], done["is_proven"], done["sample_ids"]) == ([], True, [gone])
    after = everything(bucket)
    assert [key for key, body in after.items() if any(n in body for n in needles)] == []
    assert len({key for key, _ in after}) == len(after)


@only(0)
def test_a_superseding_release_says_so(lake: Lake, gone: str, erase: Erase) -> None:
    before = releases.find(lake, "brain")
    rest = {s.sample_id for s in releases.samples(lake, before)} - {gone}
    done = erase()
    now = releases.find(lake, "brain")
    assert (done["superseded"], done["current"]) == ([before.name], {"brain": now.name})
    assert {s.sample_id for s in releases.samples(lake, now)} == rest
    with pytest.raises(ErasedError, match=now.name):
        releases.samples(lake, releases.find(lake, "brain", before.name))


@only(0)
def test_the_same_command_again_finds_nothing_and_changes_nothing(
    bucket: Bucket, lake: Lake, erase: Erase
) -> None:
    erase()
    before = everything(bucket)
    with pytest.raises(UnknownNameError, match="neuro journal list erasure"):
        erase()
    assert everything(bucket) == before


@only(0)
def test_who_is_no_admin_is_told_so_and_nothing_changes(
    bucket: Bucket, lake: Lake, erase: Erase, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"ingester-{bucket.name}"
    keys = bucket.server.add_user(name)
    policy = Path("deployments/policies/ingester.json").read_text()
    rule = buckets.Rule(role="ingester", template=policy, users=(name,))
    buckets.create(location.parse(bucket.uri, bucket.endpoint), [rule])
    before = everything(bucket)
    with monkeypatch.context() as patch:
        log_in(patch, keys)
        with pytest.raises(DeniedError, match="role `admin`"):
            erase()
    assert everything(bucket) == before


@only(30)
def test_an_erasure_cut_short_is_completed_by_the_same_command(
    lake: Lake, gone: str, erase: Erase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(erasure, "purge_versions", killed)
        with pytest.raises(InterruptedError):
            erase()
    done = erase()
    assert (done["is_proven"], done["sample_ids"], done["verified"]) == (True, [gone], 1)


@only(0)
def test_a_store_that_fails_now_and_then_is_asked_again(
    bucket: Bucket, lake: Lake, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Proxy(bucket.endpoint, share=0.03, seed=7, faults=FAULTS)) as proxy:
        monkeypatch.setenv("NEURO_S3_ENDPOINT", proxy.url)
        done = flow.fn(sample=gone, reason="consent withdrawn", who="test", lake=lake.uri)
    assert (done["is_proven"], all(proxy.met[fault] for fault in FAULTS)) == (True, True)
