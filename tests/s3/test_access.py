"""The roles of `neuro bucket create` on a server that checks signatures and policies."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.evaluate import evaluate
from flows.featurize import featurize
from flows.predict import predict
from flows.train import train
from neuro.errors import StorageError
from neuro.lake import images, journal, quarantine, releases
from neuro.lake.lake import Lake
from neuro.storage import bucket_store
from neuro.training.config import TrainConfig
from tests.s3 import deliveries
from tests.s3 import server as ceph
from tests.s3.deliveries import neuro
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]

ROLES = ("reader", "ingester", "trainer", "admin")
SECRET = b"Dear Mrs Mustermann, this is no image"

LogIn = Callable[[str], bucket_store.BucketStore]


@pytest.fixture(scope="module")
def users(s3_server: ceph.Server) -> dict[str, tuple[str, str]]:
    """The keys of a user for each role, named like the role."""
    return {role: s3_server.add_user(role) for role in ROLES}


@pytest.fixture
def log_in_as(
    bucket: Bucket,
    users: dict[str, tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> LogIn:
    """A bucket with a lake in it, and a user for each role; gives the objects as one sees them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEURO_LAKE", bucket.uri)
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    roles = [f"--role={role}={role}" for role in users]
    made = CliRunner().invoke(app, ["bucket", "create", bucket.uri, *roles])
    # 3: this server refuses encryption, and says so; a refused policy would be 1.
    assert made.exit_code in (0, 3), made.output
    deliveries.ingest(deliveries.drawn(tmp_path / "first", 4), bucket.uri)

    def log_in_as(role: str) -> bucket_store.BucketStore:
        log_in(monkeypatch, users.get(role, ceph.OWNER))
        return bucket_store.open(bucket.uri, bucket.endpoint)

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
    held = next(iter(seen.entries())).key
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
    held = next(e.key for e in seen.entries() if e.key.startswith("images.lance/data/"))
    with pytest.raises(StorageError, match="access denied"):
        seen.delete(held)
    client = boto3.Session().client("s3", endpoint_url=bucket.endpoint, region_name="us-east-1")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_objects(
            Bucket=bucket.name, Delete={"Objects": [{"Key": f"{seen.place.prefix}/{held}"}]}
        )


def test_the_ingester_publishes_a_branch_drops_another_and_restores(
    log_in_as: LogIn, bucket: Bucket, tmp_path: Path
) -> None:
    seen = log_in_as("ingester")
    for seed, name in enumerate(("kept", "left"), 1):
        neuro("branch", "create", name)
        folder = deliveries.drawn(tmp_path / name, 2, seed=seed)
        neuro("ingest", str(folder), "--branch", name, "--local")
    assert neuro("branch", "publish", "kept")["n"] == 6
    neuro("branch", "drop", "left")
    assert neuro("restore", neuro("releases")[0]["name"])["n"] == 4
    left = [entry.key for entry in seen.entries()]
    assert [key for key in left if "/tree/" in key or "kept" in key or "left" in key] == []


def test_the_ingester_takes_no_version_from_a_release_of_main(log_in_as: LogIn) -> None:
    seen = log_in_as("ingester")
    (tag,) = (e.key for e in seen.entries("images.lance/_refs/tags"))
    with pytest.raises(StorageError, match="access denied"):
        seen.delete(tag)


def with_a_letter(bucket: Bucket, tmp_path: Path) -> dict[str, Any]:
    """What `neuro quarantine list` says of a file that is no image."""
    folder = deliveries.drawn(tmp_path / "more", 2, seed=1)
    (folder / "Training" / "glioma" / "letter.png").write_bytes(SECRET)
    deliveries.ingest(folder, bucket.uri)
    (row,) = neuro("quarantine", "list")
    return dict(row)


@pytest.mark.parametrize("verb", ["release", "discard"])
def test_the_ingester_sees_the_quarantine_and_decides_nothing(
    log_in_as: LogIn, bucket: Bucket, tmp_path: Path, verb: str
) -> None:
    log_in_as("ingester")
    waits = with_a_letter(bucket, tmp_path)
    why = ["--reason=a letter"] if verb == "discard" else []
    done = CliRunner().invoke(app, ["quarantine", verb, waits["sha256"], "--who=anna", *why])
    assert isinstance(done.exception, StorageError), done.exception
    assert "access denied" in str(done.exception)
    assert neuro("quarantine", "list") == [waits]
    assert quarantine.decisions(Lake(bucket.uri, bucket.endpoint), "brain") == []


def test_the_admin_discards_and_no_object_holds_the_bytes(
    log_in_as: LogIn, bucket: Bucket, tmp_path: Path
) -> None:
    log_in_as("ingester")
    waits = with_a_letter(bucket, tmp_path)
    neuro("branch", "create", "trial")  # Lance keeps what a branch began with
    seen = log_in_as("admin")
    assert any(SECRET in seen.read(entry.key) for entry in seen.entries("quarantine.lance"))
    neuro("quarantine", "discard", waits["sha256"], "--who=anna", "--reason=a letter")
    assert not any(SECRET in seen.read(entry.key) for entry in seen.entries())


def test_the_admin_restores_gives_roles_and_removes(log_in_as: LogIn, bucket: Bucket) -> None:
    seen = log_in_as("admin")
    (release,) = neuro("releases")
    assert neuro("restore", release["name"])["content_hash"] == release["content_hash"]
    roles = ["--role=admin=admin", "--role=reader=reader"]
    made = CliRunner().invoke(app, ["bucket", "create", bucket.uri, *roles])
    assert made.exit_code in (0, 3), (made.output, made.exception)
    held = next(e.key for e in seen.entries() if e.key.startswith("images.lance/data/"))
    seen.delete(held)
    assert seen.find(held) is None


def test_the_trainer_writes_looks_predictions_and_features(
    log_in_as: LogIn, bucket: Bucket, tmp_path: Path
) -> None:
    log_in_as("owner")
    deliveries.ingest(deliveries.drawn(tmp_path / "more", 56, seed=1), bucket.uri)
    log_in_as("trainer")
    model = train.fn(config=TrainConfig(epochs=1))["package"]
    assert evaluate.fn(model=model)["looks"] == 1
    assert predict.fn(model=model)["n"] == 60
    assert featurize.fn(features="thumb")["computed"] == 60
    assert featurize.fn(features="embedding", model=model)["computed"] == 60
    lake = Lake(bucket.uri, bucket.endpoint)
    assert len(journal.entries(lake, "look")) == 1
    assert lake.read("predictions").num_rows == 60


def test_the_trainer_changes_no_image_sample_label_or_release_and_removes_nothing(
    log_in_as: LogIn, bucket: Bucket, tmp_path: Path
) -> None:
    log_in_as("owner")
    journal.record(Lake(bucket.uri, bucket.endpoint), "look", "x", {}, datetime.now(UTC))
    seen = log_in_as("trainer")
    tables = ("images", "samples", "labels", "releases", "quarantine")
    for key in (f"{table}.lance/data/new" for table in tables):
        with pytest.raises(StorageError, match="access denied"):
            seen.write(key, b"x")
    for entry in seen.entries():
        with pytest.raises(StorageError, match="access denied"):
            seen.delete(entry.key)
    labels = tmp_path / "labels.csv"
    labels.write_text("sample,label,who\nTraining/glioma/0-0.png,notumor,anna\n")
    for refused in (["labels", "import", str(labels)], ["branch", "create", "trial"]):
        done = CliRunner().invoke(app, refused)
        assert isinstance(done.exception, StorageError), done.exception
        assert "access denied" in str(done.exception)


def test_no_role_reaches_beyond_the_prefix(log_in_as: LogIn, bucket: Bucket) -> None:
    log_in_as("owner")
    bucket_store.open(f"s3://{bucket.name}/other", bucket.endpoint).write("secret", b"x")
    for role in ROLES:
        log_in_as(role)
        with pytest.raises(StorageError, match="access denied"):
            bucket_store.open(f"s3://{bucket.name}/other", bucket.endpoint).read("secret")


def test_wrong_keys_get_nothing(
    log_in_as: LogIn, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = next(iter(log_in_as("owner").entries())).key
    for keys in (("nobody", "nothing"), (ceph.OWNER[0], "wrong")):
        log_in(monkeypatch, keys)
        seen = bucket_store.open(bucket.uri, bucket.endpoint)
        for refused in (lambda s=seen: list(s.entries()), lambda s=seen: s.read(held)):
            with pytest.raises(StorageError, match="access denied"):
                refused()


def test_roles_given_again_replace_the_earlier_ones(log_in_as: LogIn, bucket: Bucket) -> None:
    log_in_as("owner")
    CliRunner().invoke(app, ["bucket", "create", bucket.uri, "--role=ingester=ingester"])
    with pytest.raises(StorageError, match="access denied"):
        list(log_in_as("reader").entries())
