import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from neuro.errors import ConfigError
from neuro.ingest import late_labels
from neuro.lake import features, point_in_time, releases
from neuro.lake.lake import Lake
from neuro.lake.point_in_time import Wanted
from neuro.lake.releases import Release
from neuro.problems.problem import Problem

Png = Callable[[int], bytes]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Ingest = Callable[..., Release]

WANTED = Wanted(features="mean", encoder_hash="e")
MADE_BY = {"encoder_hash": "e", "preprocess_hash": "", "code_revision": "r"}


@pytest.fixture
def first(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> Release:
    return ingest(lake, deliver("deliveries/1", {f"glioma/{n}.png": png(n) for n in range(20)}))


def fill(lake: Lake, release: Release) -> None:
    """The n-th sample has the vector [n, -n]."""
    ids = [sample.sample_id for sample in releases.samples(lake, release)]
    features.add(lake, "mean", {s: np.array([n, -n]) for n, s in enumerate(ids)}, MADE_BY)


def frame(lake: Lake, release: Release, problem: Problem, path: Path, **splits: tuple[str, ...]):
    parts = point_in_time.tables(lake, release, WANTED, problem.class_of, **splits)
    point_in_time.write(parts, {"release": release.name}, path)
    return pq.read_table(path)


def test_vectors_are_joined_by_sample(
    lake: Lake, first: Release, brain: Problem, tmp_path: Path
) -> None:
    fill(lake, first)
    held = frame(lake, first, brain, tmp_path / "f.parquet", splits=("train", "val", "test"))
    expected = {s.sample_id: [n, -n] for n, s in enumerate(releases.samples(lake, first))}
    rows = held.to_pylist()
    assert all(row["vector"] == expected[row["sample_id"]] for row in rows)
    assert {row["class"] for row in rows} == {"glioma"}


def test_the_test_split_is_left_out_unless_it_is_asked_for(
    lake: Lake, first: Release, brain: Problem, tmp_path: Path
) -> None:
    fill(lake, first)
    splits = {s.sample_id: s.split for s in releases.samples(lake, first)}
    held = frame(lake, first, brain, tmp_path / "f.parquet")
    assert "test" in splits.values()
    assert set(held["sample_id"].to_pylist()) == {s for s, w in splits.items() if w != "test"}


def test_a_frame_of_a_release_knows_nothing_of_what_came_later(
    lake: Lake,
    first: Release,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
    brain: Problem,
    now: datetime,
    tmp_path: Path,
) -> None:
    fill(lake, first)
    before = frame(lake, first, brain, tmp_path / "before.parquet")
    moved = before["sample_id"][0].as_py()
    ingest(lake, deliver("deliveries/2", {f"notumor/{n}.png": png(n) for n in range(20, 30)}))
    said = tmp_path / "said.csv"
    said.write_text(f"sample,label,who\n{moved},pituitary,A. Reader\n")
    latest = late_labels.import_file(lake, brain, said, now).release
    fill(lake, latest)
    after = frame(lake, first, brain, tmp_path / "after.parquet")
    assert after.equals(before)
    newest = frame(lake, latest, brain, tmp_path / "newest.parquet")
    assert (
        dict(zip(*newest.select(["sample_id", "label"]).to_pydict().values(), strict=True))[moved]
        == "pituitary"
    )
    assert newest.num_rows > before.num_rows


def test_named_figures_are_columns(
    lake: Lake, first: Release, brain: Problem, tmp_path: Path
) -> None:
    fill(lake, first)
    wanted = Wanted(features="mean", encoder_hash="e", names=("up", "down"))
    point_in_time.write(
        point_in_time.tables(lake, first, wanted, brain.class_of), {}, tmp_path / "f.parquet"
    )
    held = pq.read_table(tmp_path / "f.parquet")
    assert held.column_names == [*point_in_time.COLUMNS, "up", "down"]
    assert (np.array(held["up"]) == -np.array(held["down"])).all()


def test_a_frame_says_what_it_was_made_of(
    lake: Lake, first: Release, brain: Problem, tmp_path: Path
) -> None:
    fill(lake, first)
    held = frame(lake, first, brain, tmp_path / "f.parquet")
    assert json.loads(held.schema.metadata[b"neuro"]) == {"release": first.name}


def test_a_missing_vector_leaves_no_half_a_frame(
    lake: Lake, first: Release, brain: Problem, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="neuro featurize --set mean"):
        frame(lake, first, brain, tmp_path / "f.parquet")
    assert list(tmp_path.glob("*parquet*")) == []


def test_a_frame_without_a_row_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no row"):
        point_in_time.write(iter(()), {}, tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []
