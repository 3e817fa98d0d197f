"""An inbox in a bucket: listed at each look, and only what is new is fetched and read."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.erase import erase
from flows.ingest import ingest
from neuro.errors import DeniedError
from neuro.lake.lake import Lake
from neuro.storage import bucket_setup as buckets
from neuro.storage import bucket_store, location
from neuro.storage.bucket_store import BucketStore
from neuro.storage.store import Entry
from tests.neuro.carriers import dicom
from tests.s3 import deliveries
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]

Drop = Callable[[Path], None]
COUNTS = ("seen", "accepted", "repeated", "quarantined", "waiting")


@pytest.fixture
def inbox(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BucketStore:
    """The empty inbox of dataset brain; the lake is a folder of this test's own home."""
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    monkeypatch.setenv("NEURO_INBOX", f"s3://{bucket.name}/inbox")
    return bucket_store.open(f"s3://{bucket.name}/inbox/brain", bucket.endpoint)


@pytest.fixture
def drop(inbox: BucketStore) -> Drop:
    return lambda folder: deliveries.upload(folder, inbox)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the objects whose bytes were asked for."""
    asked: list[str] = []
    pieces = BucketStore.pieces

    def noted(self: BucketStore, entry: Entry) -> Any:
        asked.append(entry.key)
        return pieces(self, entry)

    monkeypatch.setattr(BucketStore, "pieces", noted)
    return asked


def noise(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8))


def counts() -> list[object]:
    receipt = ingest.fn()
    return [receipt[name] for name in COUNTS]


def test_objects_are_read_once(drop: Drop, tmp_path: Path, fetched: list[str]) -> None:
    drop(deliveries.drawn(tmp_path / "first", 4))
    assert counts() == [4, 4, 0, 0, 0]
    fetched.clear()
    assert counts() == [0] * 5
    assert fetched == []


def test_only_new_and_replaced_objects_are_fetched(
    inbox: BucketStore, drop: Drop, tmp_path: Path, fetched: list[str]
) -> None:
    drop(deliveries.drawn(tmp_path / "first", 4))
    ingest.fn()
    drop(deliveries.drawn(tmp_path / "second", 1, seed=1))
    inbox.write("Training/notumor/0-2.png", b"no image")
    fetched.clear()
    assert counts() == [2, 1, 0, 1, 0]
    assert sorted(fetched) == ["Training/glioma/1-0.png", "Training/notumor/0-2.png"]


def test_nothing_that_was_fetched_stays_here(drop: Drop, tmp_path: Path) -> None:
    drop(deliveries.drawn(tmp_path / "first", 2))
    ingest.fn()
    assert list((tmp_path / "home" / "scratch").iterdir()) == []


def test_an_object_that_vanishes_after_it_was_listed_is_left_out(
    inbox: BucketStore, drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(deliveries.drawn(tmp_path / "first", 2))
    pieces = BucketStore.pieces

    def gone(self: BucketStore, entry: Entry) -> Any:
        if entry.key.startswith("Training/glioma"):
            self.delete(entry.key)
        return pieces(self, entry)

    monkeypatch.setattr(BucketStore, "pieces", gone)
    assert counts() == [1, 1, 0, 0, 0]


def test_a_dicom_in_a_bucket_gets_its_group_and_a_label_that_arrives_later(
    inbox: BucketStore, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "neuro" / "problems" / "builtin" / "brain.toml").read_text()
    layout = 'kind = "table"\ntable = "t.csv"\nfile = "uid"\nkey = "SOPInstanceUID"\nlabel = "dx"'
    head, _, tail = text.partition("[layout]")
    rest = tail[tail.index("\n[") :]
    (tmp_path / "p.toml").write_text(f"{head}[layout]\n{layout}\n{rest}")
    for number in range(2):
        raw = dicom(noise(number), PatientID="Doe", SOPInstanceUID=f"1.2.{number}")
        inbox.write(f"{number}.dcm", raw)
    inbox.write("t.csv", b"uid,dx\n1.2.0,glioma\n")
    problem = str(tmp_path / "p.toml")
    ingest.fn(problem=problem)
    lake = Lake(str(tmp_path / "home" / "lake"))
    assert len(set(lake.read("samples")["group_id"].to_pylist())) == 1
    assert lake.read("labels")["label"].to_pylist() == ["glioma"]
    inbox.write("t.csv", b"uid,dx\n1.2.0,glioma\n1.2.1,notumor\n")
    assert ingest.fn(problem=problem)["seen"] == 2
    assert sorted(lake.read("labels")["label"].to_pylist()) == ["glioma", "notumor"]


def test_an_archive_in_a_bucket_is_read_once(inbox: BucketStore, tmp_path: Path) -> None:
    folder = deliveries.drawn(tmp_path / "first", 3)
    shutil.make_archive(str(tmp_path / "in"), "zip", folder)
    assert zipfile.is_zipfile(tmp_path / "in.zip")
    inbox.write("in.zip", (tmp_path / "in.zip").read_bytes())
    assert counts() == [3, 3, 0, 0, 0]
    assert counts() == [0] * 5
    state = next((tmp_path / "home" / "polled").glob("brain-*.json"))
    assert len(json.loads(state.read_text())["marks"]) == 1


def test_an_erasure_takes_the_original_out_with_every_version_and_name(
    bucket: Bucket, inbox: BucketStore, drop: Drop, tmp_path: Path
) -> None:
    buckets.create(location.parse(bucket.uri, bucket.endpoint), [], keep_versions_days=30)
    drop(deliveries.drawn(tmp_path / "first", 2))
    ingest.fn()
    name = "Training/glioma/0-0.png"
    raw = (tmp_path / "first" / name).read_bytes()
    inbox.write(f"again/{name}", raw)
    inbox.write(f"gone/{name}", raw)
    inbox.delete(f"gone/{name}")
    done = erase.fn(sample=hashlib.sha256(raw).hexdigest(), reason="asked", who="test")
    assert (done["removed"]["inbox"], done["is_proven"]) == (3, True)
    held = location.client(inbox.place).list_object_versions(Bucket=bucket.name)["Versions"]
    assert [each["Key"] for each in held] == ["inbox/brain/Training/meningioma/0-1.png"]


def test_an_inbox_that_may_not_be_emptied_is_told_before_anything_is_erased(
    bucket: Bucket, drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(deliveries.drawn(tmp_path / "first", 2))
    ingest.fn()
    lake = Lake(str(tmp_path / "home" / "lake"))
    (sample, _) = lake.read("samples")["sha256"].to_pylist()
    log_in(monkeypatch, bucket.server.add_user(f"nobody-{bucket.name}"))
    with pytest.raises(DeniedError, match="role `admin`"):
        erase.fn(sample=sample, reason="asked", who="test")
    assert len(lake.read("samples")) == 2
    assert lake.read("journal_lines", where="kind = 'erasure'").num_rows == 0
