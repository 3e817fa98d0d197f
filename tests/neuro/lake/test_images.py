import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from neuro.dataset import frames
from neuro.dataset.frames import Part
from neuro.errors import DamagedError
from neuro.images.preprocess import PreprocessSpec
from neuro.lake import images, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Draft, Release
from neuro.lake.table_schemas import SCHEMAS
from neuro.problems.problem import Problem
from neuro.sample import Sample

Png = Callable[[int], bytes]

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def release(lake: Lake, now: datetime, png: Png) -> Release:
    """Four images, of which b does not match its digest and d is not there at all."""
    stored = [
        {
            "sha256": name,
            "stored": png(seed),
            "stored_sha256": hashlib.sha256(png(0 if name == "b" else seed)).hexdigest(),
            "thumbnail": bytes(1024),
        }
        for seed, name in enumerate(IDS[:3])
    ]
    samples = [
        {"dataset": "brain", "sha256": name, "group_id": name, "split": "train"}
        | {"given_split": "", "source_name": f"{name}.png", "run_id": "r"}
        for name in IDS
    ]
    lake.add("images", pa.Table.from_pylist(stored, SCHEMAS["images"]))
    lake.add("samples", pa.Table.from_pylist(samples, SCHEMAS["samples"]))
    draft = Draft(dataset="brain", passport={}, creator="r", note="", is_synthetic=False, now=now)
    return releases.publish(lake, draft)


@pytest.fixture
def samples(lake: Lake, release: Release) -> list[Sample]:
    return releases.samples(lake, release)


def test_whole_images_are_read_as_they_were_stored(lake: Lake, release: Release, png: Png) -> None:
    assert dict(images.stored_bytes(lake, release, ["c", "a"])) == {"a": png(0), "c": png(2)}


def test_of_many_wanted_images_the_table_is_read_and_of_few_their_rows_alone(
    lake: Lake, release: Release, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dict(images.stored_bytes(lake, release, ["c", "a"]))
    monkeypatch.setattr(images, "FEW", 1)
    assert dict(images.stored_bytes(lake, release, ["c", "a"])) == few


def test_wanted_images_are_put_into_the_tables_order(lake: Lake, release: Release) -> None:
    assert images.in_order(lake, release, ["c", "a"]) == ["a", "c"]
    with pytest.raises(DamagedError, match=r"1 images of .* are missing"):
        images.in_order(lake, release, ["a", "d"])


def test_nothing_wanted_is_nothing_read(lake: Lake, release: Release) -> None:
    assert list(images.stored_bytes(lake, release, [])) == []


def test_damaged_and_missing_images_are_named(
    lake: Lake, release: Release, samples: list[Sample]
) -> None:
    assert images.damaged(lake, release, samples) == ["b", "d"]


def test_a_damaged_image_stops_its_reader(lake: Lake, release: Release) -> None:
    with pytest.raises(DamagedError, match=r"image b of brain-0001-\w+ is damaged"):
        list(images.stored_bytes(lake, release, ["a", "b"]))


def test_a_missing_image_stops_its_reader(lake: Lake, release: Release) -> None:
    with pytest.raises(DamagedError, match=r"1 images of .* are missing"):
        list(images.stored_bytes(lake, release, ["a", "d"]))


def test_a_damaged_image_stops_the_frames_and_leaves_no_cache(
    lake: Lake, release: Release, samples: list[Sample], brain: Problem, tmp_path: Path
) -> None:

    def read(spec: PreprocessSpec | None) -> Iterator[Part]:
        yield frames.decode(images.stored_bytes(lake, release, IDS), spec)

    with pytest.raises(DamagedError):
        frames.build(samples, release.content_hash, brain, read, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_that_came_after_a_release_are_not_part_of_it(
    lake: Lake, release: Release, png: Png
) -> None:
    late = {"sha256": "d", "stored": png(9), "thumbnail": bytes(1024)}
    late["stored_sha256"] = hashlib.sha256(png(9)).hexdigest()
    lake.add("images", pa.Table.from_pylist([late], SCHEMAS["images"]))
    with pytest.raises(DamagedError, match="1 images of"):
        list(images.stored_bytes(lake, release, ["d"]))
