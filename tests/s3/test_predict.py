"""Answers to images of a bucket that no lake has."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neuro.images.preprocess import PreprocessSpec
from neuro.storage import bucket_store
from tests.neuro.prediction.sealed import untrained
from tests.s3 import deliveries
from tests.s3.deliveries import CLASSES, neuro
from tests.s3.fixtures import Bucket

pytestmark = [pytest.mark.s3, pytest.mark.server]


def test_a_prefix_is_answered_as_the_folder_is(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = untrained(tmp_path / "model", "brain", CLASSES, PreprocessSpec())
    scans = deliveries.drawn(tmp_path / "scans", 12)
    source = f"s3://{bucket.name}/monday"
    place = bucket_store.open(source, bucket.endpoint)
    deliveries.upload(scans, place)
    before = {entry.key for entry in place.entries()}
    for out, asked in (("bucket", source), ("folder", str(scans))):
        told = neuro(
            *("predict", asked, "--out", f"{out}.parquet", "--model", str(model), "--local"),
            *("--endpoint", bucket.endpoint),
        )
        assert told["n"] == 12
    assert pq.read_table("bucket.parquet").equals(pq.read_table("folder.parquet"))
    assert {entry.key for entry in place.entries()} == before
