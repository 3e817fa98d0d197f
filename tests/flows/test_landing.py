"""Originals are copied to a place of their own before the release, and go with an erasure."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from flows.erase import erase
from flows.ingest import ingest
from neuro.errors import ConfigError, DeniedError, NeuroError, StaleError
from neuro.lake import erasure, releases
from neuro.lake.lake import Lake
from tasks import ingest as steps
from tests.flows.conftest import Draw


def originals(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture
def delivery(home: Path, draw: Draw) -> Path:
    """Four images and a file that will be quarantined."""
    folder = draw(["glioma", "notumor"], 2)
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def taken(delivery: Path) -> dict[str, bytes]:
    files = [path.read_bytes() for path in delivery.rglob("*_*.png")]
    return {digest(raw): raw for raw in files}


def test_each_original_that_enters_is_copied_under_its_digest(
    delivery: Path, tmp_path: Path
) -> None:
    ingest.fn(source=str(delivery), landing=str(tmp_path / "landing"))
    assert originals(tmp_path / "landing") == taken(delivery)


def test_the_setting_does_what_the_flag_does(
    delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_LANDING", str(tmp_path / "landing"))
    ingest.fn(source=str(delivery))
    assert originals(tmp_path / "landing") == taken(delivery)


def test_without_a_place_nothing_is_copied(delivery: Path, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.name in taken(delivery)}
    ingest.fn(source=str(delivery))
    assert {path for path in tmp_path.rglob("*") if path.name in taken(delivery)} == before == set()


def test_a_copy_is_made_once_and_a_repeated_delivery_fills_what_is_missing(
    delivery: Path, tmp_path: Path
) -> None:
    ingest.fn(source=str(delivery), landing=str(tmp_path / "landing"))
    first, second = sorted(path for path in (tmp_path / "landing").rglob("*") if path.is_file())[:2]
    first.write_bytes(b"kept")
    second.unlink()
    ingest.fn(source=str(delivery), landing=str(tmp_path / "landing"))
    assert originals(tmp_path / "landing") == {**taken(delivery), first.name: b"kept"}


def test_no_release_is_made_before_its_originals_are_copied(
    delivery: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "landing").write_text("a file where a folder should be")
    with pytest.raises(NeuroError, match="cannot copy an original"):
        ingest.fn(source=str(delivery), landing=str(tmp_path / "landing"))
    assert releases.history(Lake(str(home / "lake")), "brain") == []
    ingest.fn(source=str(delivery), landing=str(tmp_path / "other"))
    assert originals(tmp_path / "other") == taken(delivery)


@pytest.mark.parametrize("place", ["lake", "lake/originals", "."])
def test_a_place_in_or_around_the_lake_is_refused(delivery: Path, home: Path, place: str) -> None:
    with pytest.raises(ConfigError, match="never lie in a lake"):
        ingest.fn(source=str(delivery), landing=str(home / place))
    assert releases.history(Lake(str(home / "lake")), "brain") == []


@pytest.mark.parametrize("is_set", [True, False])
def test_an_erased_image_loses_its_original_wherever_it_was_copied_to(
    delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_set: bool
) -> None:
    for place in ("one", "two"):
        ingest.fn(source=str(delivery), landing=str(tmp_path / place))
    if is_set:
        monkeypatch.setenv("NEURO_LANDING", str(tmp_path / "one"))
    name = min(taken(delivery))
    got = _erased(name)
    assert got["removed"]["originals"] == 2
    left = {k: raw for k, raw in taken(delivery).items() if k != name}
    assert originals(tmp_path / "one") == originals(tmp_path / "two") == left


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove everything")
def test_no_place_loses_an_original_where_another_place_would_keep_its_own(
    delivery: Path, tmp_path: Path
) -> None:
    for place in ("one", "two"):
        ingest.fn(source=str(delivery), landing=str(tmp_path / place))
    name = min(taken(delivery))
    guarded = tmp_path / "two" / name[:2]
    guarded.chmod(0o500)
    try:
        with pytest.raises(DeniedError, match="two"):
            _erased(name)
        assert originals(tmp_path / "one") == taken(delivery)
    finally:
        guarded.chmod(0o700)
    assert _erased(name)["removed"]["originals"] == 2


def test_an_erasure_that_is_refused_leaves_the_originals(
    delivery: Path, home: Path, tmp_path: Path
) -> None:
    ingest.fn(source=str(delivery), landing=str(tmp_path / "one"))
    lake = Lake(str(home / "lake"))
    erasure.begin(lake, "another")
    with pytest.raises(StaleError, match="another erasure is under way"):
        _erased(min(taken(delivery)))
    assert originals(tmp_path / "one") == taken(delivery)
    erasure.end(lake)


def test_an_erased_image_that_is_delivered_again_is_not_copied(
    delivery: Path, tmp_path: Path
) -> None:
    ingest.fn(source=str(delivery), landing=str(tmp_path / "one"))
    name = min(taken(delivery))
    _erased(name)
    got = ingest.fn(source=str(delivery), landing=str(tmp_path / "two"))
    assert got["reasons"]["erased"] == 1
    left = {k: raw for k, raw in taken(delivery).items() if k != name}
    assert originals(tmp_path / "one") == originals(tmp_path / "two") == left


def _erased(name: str) -> dict[str, Any]:
    done = erase.fn(sample=name, reason="consent withdrawn", who="test")
    assert done["sample_ids"] == [name]
    return done


def test_a_place_is_checked_before_anything_is_vetted(
    delivery: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "stage", None)
    with pytest.raises(ConfigError, match="neither a folder"):
        ingest.fn(source=str(delivery), landing="ftp://host/place")
