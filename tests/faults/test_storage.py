"""Storage that fails in an order set by a seed; --seed replays one."""

import threading
import time
from pathlib import Path

import pytest

from neuro.errors import StorageError
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.storage import lance_retry
from tests.faults import seeds
from tests.s3 import deliveries
from tests.s3.fixtures import Bucket
from tests.s3.proxy import FAULTS, Proxy, running

pytestmark = [pytest.mark.s3, pytest.mark.server, pytest.mark.slow]


@pytest.mark.real
def test_100_real_images_arrive_whole_although_a_fifth_of_all_calls_fails(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    delivery = deliveries.real(tmp_path / "delivery", 100)
    calm = deliveries.ingest(delivery, str(tmp_path / "calm"))
    with running(Proxy(bucket.endpoint, share=0.2, seed=seeds.SEED, faults=FAULTS)) as proxy:
        monkeypatch.setenv("NEURO_S3_ENDPOINT", proxy.url)
        rough = deliveries.ingest(delivery, bucket.uri)
    print(dict(proxy.met))  # noqa: T201
    assert all(proxy.met[fault] > 0 for fault in FAULTS)
    for key in ("content_hash", "seen", "accepted", "repeated", "quarantined"):
        assert rough[key] == calm[key], key
    lake = Lake(bucket.uri, bucket.endpoint)
    release = releases.find(lake, "brain")
    samples = releases.samples(lake, release)
    assert images.damaged(lake, release, samples) == []
    held = lake.read("images", columns=["sha256"])["sha256"].to_pylist()
    assert len(held) == len(set(held)) == rough["accepted"]


def test_a_server_that_falls_silent_ends_a_run_within_its_deadline(bucket: Bucket) -> None:
    with running(Proxy(bucket.endpoint, share=1, seed=1, faults=("hang",))) as proxy:
        started, deadline_s = time.monotonic(), 4
        with pytest.raises(StorageError, match=r"look for journal in s3://.* silent"):
            Lake(bucket.uri, proxy.url, deadline_s=deadline_s, is_alone=True).has("journal")
        # Without one it would hang as long as the server does; a busy machine may be a little late.
        assert time.monotonic() - started < 2 * deadline_s
    for thread in threading.enumerate():
        if thread.name.startswith(
            lance_retry.LEFT_BEHIND
        ):  # left behind; ends when the proxy has gone
            thread.join(30)
