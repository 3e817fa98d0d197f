"""A lake in a bucket of a real server is the lake that a folder would be."""

from pathlib import Path

import pyarrow as pa
import pytest

from neuro.errors import StorageError
from neuro.lake.lake import Lake
from neuro.lake.table_schemas import SCHEMAS
from tests.s3 import deliveries
from tests.s3.deliveries import neuro
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURO_S3_ENDPOINT", "")  # restores what --endpoint sets


def test_data_verbs_read_the_lake_they_wrote_and_the_hash_is_that_of_a_folder(
    bucket: Bucket, tmp_path: Path
) -> None:
    delivery = deliveries.drawn(tmp_path / "first", 8)
    where = ["--lake", bucket.uri, "--endpoint", bucket.endpoint]
    here = deliveries.ingest(delivery, str(tmp_path / "folder"))
    there = neuro("ingest", str(delivery), "--local", *where)
    assert isinstance(there, dict)
    assert there["accepted"] == 8
    assert there["content_hash"] == here["content_hash"]
    assert neuro("verify", *where) == {
        "release": there["release"],
        "checked": 8,
        "damaged": [],
        "ok": True,
    }

    more = deliveries.drawn(tmp_path / "second", 4, seed=1)
    (more / "Training" / "glioma" / "broken.png").write_bytes(b"no image")
    second = neuro("ingest", str(more), "--local", *where)
    assert isinstance(second, dict)
    assert (second["accepted"], second["quarantined"]) == (4, 1)
    found = neuro("releases", *where)
    assert isinstance(found, list)
    assert [row["n"] for row in found] == [8, 12]
    assert neuro("quarantine", "list", *where) != []

    relabelled = tmp_path / "labels.csv"
    relabelled.write_text("sample,label,who\nTraining/glioma/0-0.png,notumor,anna\n")
    said = neuro("labels", "import", str(relabelled), *where)
    assert isinstance(said, dict)
    assert said["added"] == 1
    assert not list((tmp_path / ".neuro").glob("lake*"))


def test_a_store_that_refuses_is_not_taken_for_an_empty_lake(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, ("nobody", "nothing"))
    with pytest.raises(StorageError, match="access denied"):
        Lake(bucket.uri, bucket.endpoint).read("samples")


def test_a_missing_bucket_is_named_with_the_remedy(bucket: Bucket) -> None:
    with pytest.raises(StorageError, match="neuro bucket create"):
        Lake("s3://no-such-bucket/lake", bucket.endpoint).has("samples")


def test_a_row_has_one_winner_over_two_handles(bucket: Bucket) -> None:
    row = {"key": "claim/1", "kind": "claim", "body": "{}"}
    rows = pa.Table.from_pylist([row], SCHEMAS["journal"])
    one, two = (Lake(bucket.uri, bucket.endpoint) for _ in range(2))
    assert (one.add("journal", rows), two.add("journal", rows)) == (1, 0)
