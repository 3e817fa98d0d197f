import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuro.errors import ConfigError, DamagedError
from neuro.export import croissant
from neuro.images import preprocess, sanitize
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.storage.export_target import MANIFEST
from neuro.storage.folder_store import FolderStore
from tests.neuro.test_escaped_names import ODD

Png = Callable[[int], bytes]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Ingest = Callable[..., Release]


def target(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "out")


def read_manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / MANIFEST).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def release(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> Release:
    files = {f"{'glioma' if n % 2 else 'notumor'}/{n}.png": png(n) for n in range(5)}
    return ingest(lake, deliver("in", files | {"unknown.png": png(9)}))


def test_every_file_of_an_export_has_the_digest_its_manifest_says(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path
) -> None:
    done = croissant.export(lake, brain, release, target(tmp_path))
    rows = read_manifest(Path(done.where))
    assert len(rows) == done.n == 6
    for row in rows:
        raw = (Path(done.where) / row["file"]).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == row["file_sha256"] == row["stored_sha256"]
    (one,) = [row for row in rows if row["source_name"] == "glioma/1.png"]
    assert one["file"].endswith(f"/glioma/{one['sha256']}.png")
    assert (one["label"], one["width"], one["height"], one["mode"]) == ("glioma", "40", "40", "L")


def test_folders_are_splits_as_the_problem_names_them_and_then_labels(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path
) -> None:
    done = croissant.export(lake, brain, release, target(tmp_path))
    names = {"train": "Training", "test": "Testing", "val": "val", "calibration": "calibration"}
    for row in read_manifest(Path(done.where)):
        split, label, _ = row["file"].split("/")
        assert (split, label) == (names[row["split"]], row["label"] or "unlabelled")


def test_preprocessed_files_are_what_the_model_is_given(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path, png: Png
) -> None:
    spec = replace(brain.preprocess, size_px=128)
    done = croissant.export(lake, brain, release, target(tmp_path), spec)
    rows = {row["source_name"]: row for row in read_manifest(Path(done.where))}
    path = Path(done.where) / rows["glioma/1.png"]["file"]
    found = np.load(path, allow_pickle=False)
    frame = preprocess.frame(sanitize.clean(png(1)).stored, spec)
    assert (found.shape, found.dtype) == ((1, 128, 128), np.float32)
    assert 0 <= found.min() < found.max() <= 1
    assert np.array_equal(found, preprocess.to_tensor(frame[np.newaxis], spec)[0])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert rows["glioma/1.png"]["file_sha256"] == digest


def test_the_description_leads_to_the_manifest(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path
) -> None:
    exported = croissant.export(lake, brain, release, target(tmp_path))
    folder = Path(exported.where)
    said = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    (manifest,) = said["distribution"]
    raw = (folder / manifest["contentUrl"]).read_bytes()
    assert manifest["sha256"] == hashlib.sha256(raw).hexdigest()
    assert (said["license"], said["citeAs"]) == (brain.licence, brain.citation)
    columns = [entry["source"]["extract"]["column"] for entry in said["recordSet"][0]["field"]]
    assert columns == raw.decode().splitlines()[0].split(",")


def test_a_folder_that_holds_something_is_left_alone(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    croissant.export(lake, brain, release, target(tmp_path))  # empty: fine
    with pytest.raises(ConfigError, match="is not empty"):
        croissant.export(lake, brain, release, target(tmp_path))


def test_a_damaged_lake_exports_nothing(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path, png: Png
) -> None:
    (data,) = Path(lake.uri, "images.lance", "data").iterdir()
    raw, piece = data.read_bytes(), sanitize.clean(png(1)).stored[60:80]
    assert piece in raw
    data.write_bytes(raw.replace(piece, bytes(20)))
    with pytest.raises(DamagedError):
        croissant.export(lake, brain, release, target(tmp_path))
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_an_export_can_be_opened_by_anything(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path
) -> None:
    exported = croissant.export(lake, brain, release, target(tmp_path))
    folder = Path(exported.where)
    assert {Image.open(path).size for path in folder.rglob("*.png")} == {(40, 40)}


def test_a_label_that_is_no_folders_name_is_escaped_and_whole_in_the_manifest(
    lake: Lake, release: Release, brain: Problem, tmp_path: Path
) -> None:
    sample = next(iter(releases.samples(lake, release)))
    folders = [croissant._folder_of(replace(sample, label=label), brain) for label in ODD]
    assert len(set(folders)) == len(ODD)
    assert all(len(folder.parts) == 2 for folder in folders)
    named, empty = (
        croissant._folder_of(replace(sample, label=label), brain) for label in ("unlabelled", "")
    )
    assert (named.name, empty.name) == ("-x75-nlabelled", "unlabelled")
