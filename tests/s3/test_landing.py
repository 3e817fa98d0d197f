"""Originals in a bucket: created once by the lander, removed with all versions, gone by age."""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli.app import app
from flows.erase import erase
from flows.ingest import ingest
from neuro.errors import ConfigError, DeniedError, StorageError
from neuro.ingest import originals
from neuro.ingest.originals import LandingZone
from neuro.lake.lake import Lake
from neuro.storage import bucket_setup as buckets
from neuro.storage import bucket_store, location
from tests.s3 import deliveries
from tests.s3.fixtures import Bucket, log_in

pytestmark = [pytest.mark.s3, pytest.mark.server]


@pytest.fixture
def place(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NEURO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEURO_S3_ENDPOINT", bucket.endpoint)
    return f"s3://{bucket.name}/landing"


def create(*arguments: str) -> None:
    made = CliRunner().invoke(app, ["bucket", "create", *arguments])
    assert made.exit_code in (0, 3), made.output  # 3: this server refuses encryption


def test_the_lander_copies_and_may_not_delete(
    bucket: Bucket, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = bucket.server.add_user(f"lander-{bucket.name}")
    create(place, f"--role=lander=lander-{bucket.name}")
    folder = deliveries.drawn(tmp_path / "in", 3)
    log_in(monkeypatch, keys)
    ingest.fn(source=str(folder), landing=place)
    held = bucket_store.open(place, bucket.endpoint)
    names = {hashlib.sha256(p.read_bytes()).hexdigest(): p for p in folder.rglob("*.png")}
    found = [entry.key for entry in held.entries()]
    assert sorted(found) == sorted(f"{name[:2]}/{name}" for name in names)
    assert held.read(found[0]) == names[found[0][3:]].read_bytes()
    with pytest.raises(StorageError, match="access denied"):
        held.delete(found[0])


def test_an_erasure_that_one_place_would_refuse_leaves_the_originals_in_all(
    bucket: Bucket, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = bucket.server.add_user(f"lander-{bucket.name}")
    create(place, f"--role=lander=lander-{bucket.name}")
    folder, near = deliveries.drawn(tmp_path / "in", 2), tmp_path / "near"
    for landing in (str(near), place):
        ingest.fn(source=str(folder), landing=landing)
    kept = sorted(path.name for path in near.rglob("*") if path.is_file())
    with monkeypatch.context() as patch:
        log_in(patch, keys)
        with pytest.raises(DeniedError, match="role `admin`"):
            erase.fn(sample=kept[0], reason="consent withdrawn", who="test")
    assert sorted(path.name for path in near.rglob("*") if path.is_file()) == kept
    done = erase.fn(sample=kept[0], reason="consent withdrawn", who="test")
    assert (done["removed"]["originals"], done["is_proven"]) == (2, True)


def test_an_original_is_removed_with_all_its_versions(
    bucket: Bucket, place: str, tmp_path: Path
) -> None:
    create(place, "--keep-versions-days=30")
    folder = deliveries.drawn(tmp_path / "in", 2)
    ingest.fn(source=str(folder), landing=place)
    landing = bucket_store.open(place, bucket.endpoint)
    first, second = sorted(entry.key for entry in landing.entries())
    landing.delete(first)  # which only marks it
    lake = Lake(str(tmp_path / "home" / "lake"))
    assert originals.remove(lake, LandingZone(where="", endpoint=bucket.endpoint), [first[3:]]) == 1
    client = location.client(location.parse(place, bucket.endpoint))
    held = client.list_object_versions(Bucket=bucket.name)
    keys = [each["Key"] for kind in ("Versions", "DeleteMarkers") for each in held.get(kind, [])]
    assert [key for key in keys if key.startswith("landing/")] == [f"landing/{second}"]


def test_a_retention_is_of_its_prefix_and_stays_when_another_prefix_is_made(
    bucket: Bucket, place: str
) -> None:
    create(place, "--retention-days=30")
    create(bucket.uri)
    client = location.client(location.parse(place, bucket.endpoint))
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
    ages = [(r["Filter"]["Prefix"], r["Expiration"]["Days"]) for r in rules if "Expiration" in r]
    assert ages == [("landing/", 30)]
    create(place, "--retention-days=7")
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
    assert [r["Expiration"]["Days"] for r in rules if "Expiration" in r] == [7]


def test_rules_of_others_stay_in_the_lifecycle_of_a_bucket(bucket: Bucket, place: str) -> None:
    client = location.client(location.parse(place, bucket.endpoint))
    theirs = {"ID": "logs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled"}
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket.name,
        LifecycleConfiguration={"Rules": [{**theirs, "Expiration": {"Days": 5}}]},
    )
    create(place, "--keep-versions-days=30")
    create(bucket.uri)
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
    assert sorted(rule["ID"] for rule in rules) == ["logs", "neuro-uploads", "neuro-versions"]


def test_a_lake_is_given_no_retention(bucket: Bucket, place: str, tmp_path: Path) -> None:
    deliveries.ingest(deliveries.drawn(tmp_path / "in", 2), bucket.uri)
    for uri, match in ((bucket.uri, "holds a lake"), (f"s3://{bucket.name}", "prefix of its own")):
        with pytest.raises(ConfigError, match=match):
            buckets.create(location.parse(uri, bucket.endpoint), [], retention_days=30)
