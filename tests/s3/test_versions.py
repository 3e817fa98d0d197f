"""Versions of objects on a real server: listed by pages, read by pieces, removed for good."""

import hashlib
from collections.abc import Iterable

import pytest

from neuro.erasure import file_search
from neuro.lake.lake import Lake
from neuro.storage import bucket_setup as buckets
from neuro.storage import bucket_store, location
from neuro.storage.bucket_store import BucketStore
from neuro.storage.location import Place
from neuro.storage.store import Version
from tests.s3.fixtures import Bucket

pytestmark = [pytest.mark.s3, pytest.mark.server]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_store, "_PAGE", 3)
    monkeypatch.setattr(bucket_store, "PIECE", 10)


@pytest.fixture
def place(bucket: Bucket) -> Place:
    """A prefix of a bucket that keeps versions."""
    where = location.parse(bucket.uri, bucket.endpoint)
    buckets.create(where, [], keep_versions_days=30)
    return where


@pytest.fixture
def held(place: Place) -> BucketStore:
    """Eight objects, of three versions each, the odd ones deleted."""
    found = BucketStore(place)
    for number in range(8):
        for body in (b"first", b"second", b"third"):
            found.write(f"{number}", body)
        if number % 2:
            found.delete(f"{number}")
    return found


def listed(store: BucketStore) -> list[tuple[str, bool, bool]]:
    every = (version for page in store.versions() for version in page)
    return sorted((v.key, v.is_current, v.is_delete_marker) for v in every)


def test_forgetting_leaves_what_can_be_read_and_nothing_else(held: BucketStore) -> None:
    assert len(listed(held)) == 8 * 3 + 4
    assert held.remove_old_versions() == 8 * 3 + 4 - 4
    assert listed(held) == [(key, True, False) for key in "0246"]
    assert {entry.key: held.read(entry.key) for entry in held.entries()} == dict.fromkeys(
        "0246", b"third"
    )


def test_a_deleted_object_is_at_no_time_there_again(
    held: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark that went before its versions would show the newest of them."""
    removed: list[bool] = []
    remove = BucketStore.remove_versions

    def noted(self: BucketStore, meant: Iterable[Version]) -> int:
        chosen = list(meant)
        removed.extend(version.is_delete_marker for version in chosen)
        return remove(self, chosen)

    monkeypatch.setattr(BucketStore, "remove_versions", noted)
    held.remove_old_versions()
    assert removed == sorted(removed)


def test_what_lies_beside_the_prefix_keeps_its_versions(held: BucketStore, bucket: Bucket) -> None:
    beside = bucket_store.open(f"{bucket.uri}2", bucket.endpoint)
    for body in (b"one", b"two"):
        beside.write("a", body)
    held.remove_old_versions()
    assert len(listed(beside)) == 2


def test_uploads_that_were_not_ended_are_removed(place: Place) -> None:
    client = location.client(place)
    for number in range(5):
        named = {"Bucket": place.bucket, "Key": f"lake/{number}"}
        upload = client.create_multipart_upload(**named)["UploadId"]
        client.upload_part(**named, UploadId=upload, PartNumber=1, Body=b"half")
    BucketStore(place).remove_old_versions()
    assert not client.list_multipart_uploads(Bucket=place.bucket).get("Uploads")


def test_the_search_reads_every_version_and_across_pieces(place: Place) -> None:
    held = BucketStore(place)
    held.write("a", b"........needle..")
    held.write("a", b"now of something else")
    held.write("b", b"nothing")
    held.delete("b")
    (found,) = file_search.search(held, lambda _: [b"needle"])
    assert found.startswith(f"{place.uri}/a?versionId=")
    assert [uri[-1] for uri in file_search.search(held, lambda _: [b"else"])] == ["a"]


def test_a_file_is_searched_for_what_is_wanted_of_it(held: BucketStore) -> None:
    found = file_search.search(held, lambda uri: [b"third"] if uri.endswith("/2") else [])
    assert found == [f"{held.place.uri}/2"]


def test_a_bucket_lists_its_tables_as_a_folder_does(place: Place) -> None:
    held = BucketStore(place)
    for name in ("a", "b", "c", "d", "e"):
        held.write(f"{name}.lance/data/1", b"x")
    held.write("notes/x.lance", b"x")
    assert Lake(place.uri, place.endpoint).tables() == ["a", "b", "c", "d", "e"]


def test_a_copy_goes_with_all_versions_of_its_object(held: BucketStore) -> None:
    digest = hashlib.sha256(b"third").hexdigest()
    assert file_search.remove_copies(held, [digest]) == 8
    left = [key for key, _, is_mark in listed(held) if not is_mark]
    assert left == [key for key in "1357" for _ in range(2)]


def test_of_an_object_that_is_something_else_by_now_only_the_copy_goes(held: BucketStore) -> None:
    file_search.remove_copies(held, [hashlib.sha256(b"second").hexdigest()])
    assert held.read("2") == b"third"
    assert len([key for key, *_ in listed(held) if key == "2"]) == 2
