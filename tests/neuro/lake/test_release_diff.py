"""Restoring and comparing, as random histories of deliveries, labels and restores."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from neuro.images import sanitize
from neuro.ingest import late_labels
from neuro.lake import release_diff, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.sample import Sample

Png = Callable[[int], bytes]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Ingest = Callable[..., Release]

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def names(lake: Lake, release: Release | None = None) -> set[str]:
    found = release or releases.find(lake, "brain")
    return {sample.source_name for sample in releases.samples(lake, found)}


@pytest.fixture
def first(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> Release:
    return ingest(lake, deliver("one", {f"glioma/{n}.png": png(n) for n in range(4)}))


@pytest.fixture
def second_folder(deliver: Deliver, png: Png) -> Path:
    return deliver("two", {f"notumor/{n}.png": png(n) for n in range(4, 7)})


@pytest.fixture
def second(lake: Lake, first: Release, ingest: Ingest, second_folder: Path) -> Release:
    return ingest(lake, second_folder)


def relabel(lake: Lake, brain: Problem, path: Path, *lines: str) -> Release:
    path.write_text("\n".join(["sample,label,who", *lines]), encoding="utf-8")
    return late_labels.import_file(lake, brain, path, NOW).release


def test_a_diff_names_what_came_went_and_was_relabelled(
    lake: Lake, first: Release, second: Release, brain: Problem, tmp_path: Path, png: Png
) -> None:
    third = relabel(lake, brain, tmp_path / "l.csv", "glioma/0.png,pituitary,Dr. A")
    ids = [sanitize.clean(png(n)).sha256 for n in range(7)]
    found = release_diff.diff(lake, first, third)
    assert (found.added, found.removed) == (tuple(sorted(ids[4:])), ())
    assert (found.relabelled, found.moved) == ({ids[0]: ("glioma", "pituitary")}, {})
    back = release_diff.diff(lake, third, first)
    assert (back.added, back.removed) == ((), found.added)


def test_a_restored_release_is_a_new_one_of_the_same_content(
    lake: Lake, first: Release, second: Release
) -> None:
    restored = release_diff.restore(lake, first, NOW)
    assert restored.name != first.name
    assert (restored.content_hash, restored.parent) == (first.content_hash, second.name)
    assert releases.current(lake, "brain") == restored
    assert releases.samples(lake, restored) == releases.samples(lake, first)


def test_restoring_what_is_current_changes_nothing(lake: Lake, second: Release) -> None:
    assert release_diff.restore(lake, second, NOW) == second


def test_a_later_delivery_does_not_bring_back_what_a_restore_removed(
    lake: Lake, first: Release, second: Release, ingest: Ingest, deliver: Deliver, png: Png
) -> None:
    release_diff.restore(lake, first, NOW)
    ingest(lake, deliver("three", {"pituitary/9.png": png(9)}))
    assert names(lake) == {"pituitary/9.png", *names(lake, first)}


def test_a_later_label_does_not_bring_back_what_a_restore_removed(
    lake: Lake, first: Release, brain: Problem, tmp_path: Path, second: Release
) -> None:
    relabel(lake, brain, tmp_path / "a.csv", "glioma/0.png,pituitary,Dr. A")
    release_diff.restore(lake, first, NOW)
    relabel(lake, brain, tmp_path / "b.csv", "glioma/1.png,meningioma,Dr. B")
    found = release_diff.diff(lake, first, releases.find(lake, "brain"))
    assert (found.added, found.removed) == ((), ())
    assert list(found.relabelled.values()) == [("glioma", "meningioma")]


def test_the_removed_delivery_given_again_comes_back_as_it_was(
    lake: Lake, first: Release, second: Release, ingest: Ingest, second_folder: Path
) -> None:
    before = releases.samples(lake, second)
    release_diff.restore(lake, first, NOW)
    again = ingest(lake, second_folder)
    assert again.content_hash == second.content_hash
    came = {s.source_name: s.entered for s in releases.samples(lake, again)}
    assert came["notumor/4.png"] == again.name
    assert came["glioma/0.png"] == first.name
    assert [s.split for s in before] == [s.split for s in releases.samples(lake, again)]


def test_one_removed_image_in_another_delivery_comes_back_to_its_old_place(
    lake: Lake, first: Release, second: Release, ingest: Ingest, deliver: Deliver, png: Png
) -> None:
    old = {s.sample_id: s for s in releases.samples(lake, second)}
    release_diff.restore(lake, first, NOW)
    release = ingest(lake, deliver("other", {"pituitary/five.png": png(5)}))
    (new,) = set(release_diff.diff(lake, first, release).added)
    assert new == sanitize.clean(png(5)).sha256
    came = next(s for s in releases.samples(lake, release) if s.sample_id == new)
    assert (came.split, came.group_id, came.label) == (
        old[new].split,
        old[new].group_id,
        "pituitary",
    )
    assert came.entered == release.name


@pytest.mark.parametrize("seed", range(3))
def test_any_history_can_be_restored_at_any_point(
    lake: Lake,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
    brain: Problem,
    tmp_path: Path,
    seed: int,
) -> None:
    """After each random step every release reads as when it was made, and diffs are their sets."""
    rng = np.random.default_rng(seed)
    content: dict[str, list[Sample]] = {}
    kinds = ("glioma", "notumor", "pituitary")
    for number in range(9):
        step = rng.choice(["ingest", "label", "restore"]) if content else "ingest"
        if step == "ingest":
            picked = rng.choice(14, 3, replace=False).tolist()
            files = {f"{kinds[n % 3]}/{n}.png": png(n) for n in picked}
            release = ingest(lake, deliver(f"in{number}", files))
        elif step == "label":
            held = releases.samples(lake, releases.find(lake, "brain"))
            one = held[int(rng.integers(len(held)))]
            line = f"{one.sample_id},{rng.choice(kinds)},Dr. {number}"
            release = relabel(lake, brain, tmp_path / f"{number}.csv", line)
        else:
            name = str(rng.choice(sorted(content)))
            release = release_diff.restore(lake, releases.find(lake, "brain", name), NOW)
            assert plain(releases.samples(lake, release)) == plain(content[name])
        content.setdefault(release.name, releases.samples(lake, release))
        if step == "ingest":
            assert {sanitize.clean(png(n)).sha256 for n in picked} <= {
                s.sample_id for s in content[release.name]
            }
    for release in releases.history(lake, "brain"):
        assert plain(releases.samples(lake, release)) == plain(content[release.name])
    one, other = (content[r.name] for r in releases.history(lake, "brain")[:2])
    found = release_diff.diff(lake, *releases.history(lake, "brain")[:2])
    assert set(found.added) == {s.sample_id for s in other} - {s.sample_id for s in one}


def plain(rows: list[Sample]) -> list[tuple[str, ...]]:
    return [(s.sample_id, s.label, s.group_id, s.split) for s in rows]
