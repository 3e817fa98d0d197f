"""A folder and a bucket do the same with files, each through its own store."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from neuro.erasure import file_search
from neuro.errors import ConfigError
from neuro.storage import store as stores
from neuro.storage.folder_store import FolderStore
from neuro.storage.store import Store

NAMES = ("a b.txt", "b/#1", "b/c%20d#2", "b/deep/ü+%.bin", "x.lance/data/1")


@pytest.fixture(
    params=["folder", pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.server])]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return stores.open(str(tmp_path / "store"))
    bucket = request.getfixturevalue("bucket")
    return stores.open(bucket.uri, bucket.endpoint)


@pytest.fixture
def filled(store: Store) -> Store:
    for name in NAMES:
        store.write(name, name.encode())
    return store


def keys(store: Store, under: str = "") -> list[str]:
    return sorted(entry.key for entry in store.entries(under))


def test_files_are_listed_and_read_by_their_names(filled: Store) -> None:
    assert keys(filled) == sorted(NAMES)
    assert keys(filled, "b") == sorted(name for name in NAMES if name.startswith("b/"))
    assert keys(filled, "none") == []
    assert [filled.read(name) for name in NAMES] == [name.encode() for name in NAMES]
    assert {entry.size for entry in filled.entries("x.lance")} == {len("x.lance/data/1")}


def test_folders_are_those_right_below(filled: Store) -> None:
    assert filled.folders() == ["b", "x.lance"]
    assert filled.folders("b") == ["deep"]
    assert filled.folders("none") == []


def test_what_is_not_there_is_found_to_be_so(filled: Store) -> None:
    entry = filled.find("b/#1")
    assert entry is not None
    assert entry.size == 4
    assert filled.find("b/#2") is None
    assert filled.find("b") is None


def test_a_file_is_created_once(store: Store) -> None:
    assert store.write_once("a/key", b"first") is True
    assert store.write_once("a/key", b"second") is False
    assert store.read("a/key") == b"first"
    assert keys(store) == ["a/key"]


def test_a_digest_is_that_of_the_bytes(filled: Store) -> None:
    assert filled.digest("a b.txt") == (
        "cd6c4a051a480e945b3d907e87ba10ce76ee2e02a29e4dac7ea0751b3d9af24d"
    )


def test_files_and_folders_are_removed_and_the_rest_stays(filled: Store) -> None:
    filled.delete("a b.txt")
    filled.delete("none")
    filled.delete_all(["b/#1", "none/at/all"])
    filled.delete_folder("x.lance")
    filled.delete_folder("none")
    assert keys(filled) == ["b/c%20d#2", "b/deep/ü+%.bin"]


def test_versions_are_read_and_removed(filled: Store) -> None:
    versions = [version for page in filled.versions() for version in page]
    by_key = {version.key: version for version in versions}
    assert sorted(by_key) == sorted(NAMES)
    assert all(version.is_current for version in versions)
    assert {b"".join(filled.version_pieces(v)) for v in versions} == {n.encode() for n in NAMES}
    assert by_key["b/#1"].uri == f"{filled.uri}/b/#1"
    assert filled.remove_versions([by_key["b/#1"]]) == 1
    assert list(filled.version_pieces(by_key["b/#1"])) == []
    assert filled.remove_key("a b.txt") is True
    assert filled.remove_key("a b.txt") is False
    assert filled.remove_old_versions() == 0
    assert len(keys(filled)) == len(NAMES) - 2


def test_a_search_names_what_holds_a_byte_string_and_a_copy_is_removed(filled: Store) -> None:
    assert file_search.search(filled, lambda _: [b"deep", b"a b"]) == [
        f"{filled.uri}/a b.txt",
        f"{filled.uri}/b/deep/ü+%.bin",
    ]
    digest = filled.digest("b/#1") or ""
    assert file_search.remove_copies(filled, [digest]) == 1
    assert filled.find("b/#1") is None


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    (tmp_path / "store").mkdir()
    return FolderStore(tmp_path / "store")


def test_what_a_link_leads_to_is_neither_searched_nor_removed(
    folder: FolderStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_bytes(b"mine")
    (folder.folder / "to_folder").symlink_to(outside)
    (folder.folder / "to_file").symlink_to(outside / "mine")
    (folder.folder / "to_nothing").symlink_to(tmp_path / "nothing")
    folder.write("own", b"mine")
    assert keys(folder) == ["own", "to_file", "to_folder", "to_nothing"]
    assert [version.key for page in folder.versions() for version in page] == ["own"]
    assert file_search.remove_copies(folder, [folder.digest("own") or ""]) == 1
    folder.delete_all(keys(folder))
    assert (outside / "mine").exists()


def test_a_name_that_is_no_utf8_is_listed_and_searched(folder: FolderStore) -> None:
    name = os.fsdecode(b"M\xfcller")
    (folder.folder / name).write_bytes(b"needle")
    assert keys(folder) == [name]
    assert file_search.search(folder, lambda _: [b"needle"]) == [f"{folder.uri}/{name}"]


def test_what_is_created_once_can_be_read_by_its_owner_alone(folder: FolderStore) -> None:
    folder.write_once("ab/key", b"original")
    assert (folder.folder / "ab/key").stat().st_mode & 0o777 == 0o600
    assert (folder.folder / "ab").stat().st_mode & 0o777 == 0o700


def test_half_written_copies_go_with_their_file(folder: FolderStore) -> None:
    folder.write_once("ab/key", b"original")
    (folder.folder / "ab/.key.1234abcd").write_bytes(b"orig")
    assert folder.remove_key("ab/key") is True
    assert keys(folder) == []


def test_staged_files_appear_together_and_a_killed_staging_is_removed(
    folder: FolderStore, tmp_path: Path
) -> None:
    FolderStore(tmp_path / ".store.part").write("left/by/a/killed/run", b"x")
    with folder.staged() as staging:
        staging.write("a", b"a")
        assert keys(folder) == []
    assert keys(folder) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_was_staged_before_an_error_leaves_nothing(
    folder: FolderStore, tmp_path: Path
) -> None:
    with suppress(KeyError), folder.staged() as staging:
        staging.write("a", b"a")
        raise KeyError
    assert keys(folder) == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_nothing_is_staged_for_a_folder_that_holds_something(folder: FolderStore) -> None:
    folder.write("mine", b"mine")
    with pytest.raises(ConfigError, match="is not empty"), folder.staged():
        pass
    assert folder.read("mine") == b"mine"


def test_a_place_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        stores.open("https://example.org/lake")
