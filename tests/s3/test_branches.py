"""A user's branch of a lake in a bucket: seen there alone, published whole, dropped whole."""

from pathlib import Path

import pytest

from neuro.lake import images
from neuro.problems import problem
from neuro.storage import bucket_store
from tasks.load import release_data
from tests.s3 import deliveries
from tests.s3.deliveries import neuro
from tests.s3.fixtures import Bucket

pytestmark = [pytest.mark.s3, pytest.mark.server]


@pytest.fixture(autouse=True)
def base(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The release of a lake with four images, that of the place this installation knows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURO_LAKE", bucket.uri)
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    receipt = deliveries.ingest(deliveries.drawn(tmp_path / "first", 4), bucket.uri)
    return str(receipt["release"])


@pytest.fixture
def trial(base: str, tmp_path: Path) -> str:
    """The head of a branch with four more images, a broken file and a label of its own."""
    assert neuro("branch", "create", "trial") == {"branch": "trial", "base": base}
    more = deliveries.drawn(tmp_path / "second", 4, seed=1)
    (more / "Training" / "glioma" / "broken.png").write_bytes(b"no image")
    told = neuro("ingest", str(more), "--branch", "trial", "--local")
    assert (told["accepted"], told["quarantined"]) == (4, 1)
    reviewed = tmp_path / "reviewed.csv"
    reviewed.write_text("sample,label,who\nTraining/glioma/0-0.png,notumor,anna\n")
    done = neuro("labels", "import", str(reviewed), "--branch", "trial")
    assert done["added"] == 1
    return str(done["release"])


def of_branches(bucket: Bucket) -> list[str]:
    keys = [entry.key for entry in bucket_store.open(bucket.uri, bucket.endpoint).entries()]
    return [key for key in keys if "trial" in key or "/tree/" in key]


def test_what_is_on_a_branch_is_seen_there_alone_until_it_is_published(
    bucket: Bucket, base: str, trial: str
) -> None:
    assert [row["name"] for row in neuro("releases")] == [base]
    assert neuro("quarantine", "list") == []
    assert neuro("verify")["checked"] == 4
    assert [row["name"] for row in neuro("releases", "--branch", "trial")][-1] == trial
    counts = {"added": 4, "removed": 0, "relabelled": 1, "moved": 0}
    assert neuro("diff", base, trial)["counts"] == counts
    assert neuro("branch", "diff", "trial")["counts"] == counts

    made = neuro("branch", "publish", "trial")
    assert (made["n"], made["parent"]) == (8, base)
    assert neuro("branch", "list") == []
    assert neuro("diff", base)["counts"] == counts
    assert len(neuro("quarantine", "list")) == 1
    assert neuro("verify")["ok"]
    assert of_branches(bucket) == []


def test_a_release_of_a_branch_is_read_for_training(trial: str) -> None:
    loaded = release_data.load.function(release_data.open_lake(None), problem.load("brain"), trial)
    assert loaded.frames.pixels.shape[0] == len(loaded.samples) == 8
    assert images.damaged(loaded.lake, loaded.release, loaded.samples) == []


def test_a_dropped_branch_leaves_no_object(bucket: Bucket, base: str, trial: str) -> None:
    assert of_branches(bucket)
    neuro("branch", "drop", "trial")
    assert of_branches(bucket) == []
    assert [row["name"] for row in neuro("releases")] == [base]
    assert neuro("branch", "create", "trial")["base"] == base


def test_a_release_of_a_bucket_is_restored(bucket: Bucket, base: str, tmp_path: Path) -> None:
    deliveries.ingest(deliveries.drawn(tmp_path / "second", 4, seed=1), bucket.uri)
    assert neuro("restore", base)["n"] == 4
    assert neuro("diff", base)["counts"] == dict.fromkeys(
        ("added", "removed", "relabelled", "moved"), 0
    )
