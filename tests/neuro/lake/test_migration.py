"""A lake of version 1, read as it is, and as what it becomes at the first write."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from neuro.errors import ConfigError
from neuro.lake import branches, images, journal, migration, releases
from neuro.lake.lake import Lake
from neuro.lake.migration import Migration
from tests.fixtures import lakes

NOW = datetime(2026, 12, 1, tzinfo=UTC)
GONE = "perceptual_hash"


@pytest.fixture
def old(tmp_path: Path) -> str:
    return lakes.copy_v1(tmp_path)


def columns(uri: str, branch: str = "") -> list[str]:
    dataset = lance.dataset(f"{uri}/images.lance")
    return list((dataset.checkout_version((branch, None)) if branch else dataset).schema.names)


def require_whole(uri: str) -> None:
    """Every release as it was made: its content hash, and each stored byte."""
    lake = Lake(uri)
    for expected in lakes.EXPECTED["releases"]:
        view = branches.find(lake, "brain", expected["branch"]).lake if expected["branch"] else lake
        release = releases.find(view, "brain", expected["name"])
        samples = releases.samples(view, release)
        assert (release.content_hash, len(samples)) == (expected["content_hash"], expected["n"])
        assert images.damaged(view, release, samples) == []


def files_of(uri: str) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in Path(uri).rglob("*") if p.is_file()}


def test_an_older_lake_is_read_as_it_is_and_nothing_is_written(old: str) -> None:
    before = files_of(old)
    assert Lake(old).version == 1
    require_whole(old)
    assert len(journal.entries(Lake(old), "quarantine")) == 1
    assert files_of(old) == before


def test_the_first_write_announces_the_migration_and_does_it(
    old: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "neuro"):
        journal.record(Lake(old), "test", "first", {}, NOW)
        journal.record(Lake(old), "test", "second", {}, NOW)
    (said,) = [r.getMessage() for r in caplog.records if r.name.startswith("neuro.lake")]
    assert "version 1" in said
    assert "version 3" in said
    assert Lake(old).version == 3
    assert GONE not in columns(old) + columns(old, "user.brain.trial")
    require_whole(old)


def test_a_pinned_version_is_what_it_was_after_the_migration(old: str) -> None:
    lake = Lake(old)
    release = releases.find(lake, "brain")
    before = lake.at("images", release.tables["images"]).to_table()
    migration.migrate(lake)
    after = Lake(old).at("images", release.tables["images"]).to_table()
    assert GONE in after.column_names
    assert after.equals(before)


def test_a_migration_twice_changes_nothing_the_second_time(old: str) -> None:
    assert [change.branch for change in migration.migrate(Lake(old))] == ["", "user.brain.trial"]
    before = files_of(old)
    assert migration.migrate(Lake(old)) == []
    assert files_of(old) == before


def test_what_would_change_is_said_and_not_done(old: str) -> None:
    before = files_of(old)
    assert [change.column for change in migration.changes(Lake(old))] == [GONE, GONE]
    assert files_of(old) == before


def test_a_branch_that_begins_at_an_old_release_is_brought_up_to_date(old: str) -> None:
    lake = Lake(old)
    migration.migrate(lake)
    made = branches.create(lake, "brain", "later")
    assert GONE not in made.lake.open("images").schema.names
    assert migration.changes(lake) == []


def test_a_new_lake_has_the_newest_version_and_nothing_to_change(lake: Lake) -> None:
    journal.record(lake, "test", "key", {}, NOW)
    assert Lake(lake.uri).version == migration.newest()
    assert migration.changes(lake) == []


@pytest.fixture
def newer(old: str) -> Iterator[str]:
    lance.dataset(f"{old}/releases.lance").update_config({"lake.version": "99"})
    return old


def test_a_newer_lake_is_refused_by_name_to_readers_and_writers(newer: str) -> None:
    lake, before = Lake(newer), files_of(newer)
    for use in (
        lambda: lake.read("samples"),
        lambda: lake.at("images", 1),
        lambda: lake.has("journal"),
        lambda: releases.find(lake, "brain"),
        lambda: journal.record(lake, "test", "key", {}, NOW),
        lambda: migration.migrate(lake),
    ):
        with pytest.raises(ConfigError, match=r"99.*up to 3.*[Uu]pgrade neuro"):
            use()
    assert files_of(newer) == before


def test_a_migration_never_takes_a_later_version_back(old: str) -> None:
    slow = Lake(old)
    assert slow.version == 1
    lance.dataset(f"{old}/releases.lance").update_config({"lake.version": "99"})
    with pytest.raises(ConfigError, match="99"):
        migration.migrate(slow)
    assert lance.dataset(f"{old}/releases.lance").config()["lake.version"] == "99"


def test_a_column_that_comes_later_is_null_before_and_after_it_was_added(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = pa.field("site", pa.string())
    more = Migration(to=3, why="test", adds={"samples": (site,)})
    monkeypatch.setattr(migration, "MIGRATIONS", (*migration.MIGRATIONS, more))
    names = ["sha256", "site"]
    before = Lake(old).read("samples", columns=names)
    migration.migrate(Lake(old))
    assert before["site"].null_count == before.num_rows == 48
    assert Lake(old).read("samples", columns=names).equals(before)
    assert (Lake(old).version, Lake(old).open("samples").schema.names[-1]) == (3, "site")
    require_whole(old)
