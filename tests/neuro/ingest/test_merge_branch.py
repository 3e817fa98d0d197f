"""A user's branch: seen by nobody until it is published, whole or not at all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from neuro.errors import ConfigError, StaleError, UnknownNameError
from neuro.images import sanitize
from neuro.ingest import late_labels, merge_branch
from neuro.lake import branches, images, marks, releases
from neuro.lake.branches import UserBranch
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.lake.table_schemas import BRANCHED
from neuro.problems.problem import Problem

Png = Callable[[int], bytes]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Ingest = Callable[..., Release]

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def base(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> Release:
    return ingest(lake, deliver("one", {f"glioma/{n}.png": png(n) for n in range(4)}))


@pytest.fixture
def mine(lake: Lake, base: Release) -> UserBranch:
    return branches.create(lake, "brain", "mine")


@pytest.fixture
def folder(deliver: Deliver, png: Png) -> Path:
    return deliver("two", {f"notumor/{n}.png": png(n) for n in range(4, 7)})


def relabel(lake: Lake, brain: Problem, path: Path, line: str) -> Release:
    path.write_text(f"sample,label,who\n{line}", encoding="utf-8")
    return late_labels.import_file(lake, brain, path, NOW).release


def everything(lake: Lake) -> dict[str, object]:
    rows = {table: lake.read(table).sort_by("sha256").to_pylist() for table in BRANCHED}
    return rows | {"history": releases.history(lake, "brain")}


def labels_of(lake: Lake) -> dict[str, str]:
    found = releases.samples(lake, releases.find(lake, "brain"))
    return {sample.source_name: sample.label for sample in found}


def test_what_a_branch_takes_in_is_seen_there_alone(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path, brain: Problem, tmp_path: Path
) -> None:
    before = everything(lake)
    release = ingest(mine.lake, folder)
    relabel(mine.lake, brain, tmp_path / "l.csv", "glioma/0.png,pituitary,Dr. A")
    assert everything(lake) == before
    assert (release.branch, release.n, release.parent) == ("mine", 7, mine.base.name)
    assert labels_of(mine.lake)["glioma/0.png"] == "pituitary"


def test_a_release_of_a_branch_is_read_by_its_name(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path
) -> None:
    made = ingest(mine.lake, folder)
    found = releases.find(lake, "brain", made.name)
    held = releases.samples(lake, found)
    assert len(held) == 7
    assert images.damaged(lake, found, held) == []
    assert releases.find(lake, "brain").name == mine.base.name


def test_a_published_branch_is_a_release_of_the_same_content(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path, brain: Problem, tmp_path: Path
) -> None:
    ingest(mine.lake, folder)
    made = relabel(mine.lake, brain, tmp_path / "l.csv", "glioma/0.png,pituitary,Dr. A")
    release = merge_branch.publish(lake, brain, "mine", NOW)
    assert (release.content_hash, release.branch) == (made.content_hash, "")
    assert {s.entered for s in releases.samples(lake, release)} == {mine.base.name, release.name}
    assert branches.names(lake, "brain") == []
    assert all(lake.open(table).branches.list() == {} for table in BRANCHED)


def test_no_branch_is_published_while_the_problem_has_open_questions(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path, brain: Problem
) -> None:
    ingest(mine.lake, folder)
    before = everything(lake)
    with pytest.raises(ConfigError, match="until it is answered"):
        merge_branch.publish(lake, replace(brain, unanswered=("is it?",)), "mine", NOW)
    assert everything(lake) == before
    assert branches.names(lake, "brain") == ["mine"]


def test_what_main_took_in_meanwhile_stays_beside_the_branch(
    lake: Lake,
    mine: UserBranch,
    ingest: Ingest,
    folder: Path,
    deliver: Deliver,
    png: Png,
    brain: Problem,
) -> None:
    ingest(mine.lake, folder)
    ingest(lake, deliver("three", {"pituitary/9.png": png(9)}))
    assert merge_branch.publish(lake, brain, "mine", NOW).n == 8


def test_the_same_delivery_on_both_is_in_the_release_once(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path, brain: Problem
) -> None:
    ingest(mine.lake, folder)
    on_main = ingest(lake, folder)
    assert merge_branch.publish(lake, brain, "mine", NOW) == on_main


def test_a_label_that_main_gave_otherwise_meanwhile_is_no_silent_loss(
    lake: Lake, mine: UserBranch, brain: Problem, tmp_path: Path
) -> None:
    relabel(mine.lake, brain, tmp_path / "a.csv", "glioma/0.png,pituitary,Dr. A")
    relabel(lake, brain, tmp_path / "b.csv", "glioma/0.png,meningioma,Dr. B")
    before = everything(lake)
    with pytest.raises(StaleError, match="1 samples another label"):
        merge_branch.publish(lake, brain, "mine", NOW)
    assert everything(lake) == before
    assert branches.names(lake, "brain") == ["mine"]


def test_a_picture_whose_twin_came_to_main_in_another_split_is_not_published(
    lake: Lake, mine: UserBranch, ingest: Ingest, deliver: Deliver, png: Png, brain: Problem
) -> None:
    ingest(mine.lake, deliver("here", {f"{n}.png": png(n) for n in range(20, 40)}))
    placed = {
        s.source_name: s
        for s in releases.samples(mine.lake, branches.find(lake, "brain", "mine").head)
    }
    other = next(n for n in range(20, 40) if placed[f"{n}.png"].split != "train")
    again = png(other) + b"\0"  # the same picture, other bytes: a twin
    row = {"dataset": "brain", "sha256": sanitize.clean(again).sha256, "split": "train"}
    row |= {"group_key": "", "group_id": row["sha256"], "run_id": "r", "is_synthetic": False}
    clean = sanitize.clean(again)
    picture = {"sha256": clean.sha256, "thumbnail": clean.thumbnail, "run_id": "r"}
    lake.add("images", pa.Table.from_pylist([picture], lake.open("images").schema))
    lake.add("samples", pa.Table.from_pylist([row], lake.open("samples").schema))
    with pytest.raises(StaleError, match="of its group came to main"):
        merge_branch.publish(lake, brain, "mine", NOW)


def test_a_restore_on_main_is_not_undone_by_publishing_a_branch(
    lake: Lake,
    base: Release,
    ingest: Ingest,
    folder: Path,
    deliver: Deliver,
    png: Png,
    brain: Problem,
) -> None:
    from neuro.lake import release_diff

    ingest(lake, folder)
    mine = branches.create(lake, "brain", "mine")
    release_diff.restore(lake, base, NOW)
    ingest(mine.lake, deliver("three", {"pituitary/9.png": png(9)}))
    merge_branch.publish(lake, brain, "mine", NOW)
    assert labels_of(lake).keys() == {
        "glioma/0.png",
        "glioma/1.png",
        "glioma/2.png",
        "glioma/3.png",
        "pituitary/9.png",
    }


class KilledError(Exception):
    pass


class Dying(Lake):
    """A real lake whose process ends when a table is about to be written."""

    dies_at = ""

    def add(self, table: str, rows: pa.Table) -> int:
        if table == self.dies_at:
            raise KilledError
        return super().add(table, rows)


@pytest.mark.parametrize("table", ["images", "labels", "samples", "releases", "quarantine"])
def test_a_publication_cut_short_shows_nothing_and_is_completed_by_the_same_command(
    lake: Lake,
    mine: UserBranch,
    ingest: Ingest,
    folder: Path,
    brain: Problem,
    tmp_path: Path,
    deliver: Deliver,
    png: Png,
    table: str,
) -> None:
    ingest(mine.lake, folder)
    made = relabel(mine.lake, brain, tmp_path / "l.csv", "glioma/0.png,pituitary,Dr. A")
    dying = Dying(lake.uri)
    dying.dies_at = table
    with pytest.raises(KilledError):
        merge_branch.publish(dying, brain, "mine", NOW)
    if table != "quarantine":
        ingest(lake, deliver("meanwhile", {"pituitary/9.png": png(9)}))  # somebody else publishes
        assert set(labels_of(lake)) == {*(f"glioma/{n}.png" for n in range(4)), "pituitary/9.png"}
        assert labels_of(lake)["glioma/0.png"] == "glioma"
    release = merge_branch.publish(Lake(lake.uri), brain, "mine", NOW)
    assert labels_of(lake) == labels_of_release(lake, made) | (
        {"pituitary/9.png": "pituitary"} if table != "quarantine" else {}
    )
    assert branches.names(lake, "brain") == []
    assert marks.half_written_runs(lake) == set()
    assert release == releases.current(lake, "brain")


def labels_of_release(lake: Lake, release: Release) -> dict[str, str]:
    return {f"glioma/{n}.png": "glioma" for n in range(1, 4)} | {
        "glioma/0.png": "pituitary",
        **{f"notumor/{n}.png": "notumor" for n in range(4, 7)},
    }


class CrashError(Exception):
    """A crash."""


@contextmanager
def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """Let the removal of a Lance branch with this number be the last thing that is done."""
    removed = iter(range(number))

    def drop_branch(self: Lake, table: str, name: str) -> None:
        if next(removed, None) is None:
            raise CrashError
        real(self, table, name)

    real = Lake.drop_branch
    monkeypatch.setattr(Lake, "drop_branch", drop_branch)
    yield


@pytest.mark.parametrize("number", [3, 6, 8, 10])  # 0 to 2 are those of the run that merges
def test_a_publication_cut_short_in_the_removal_is_completed_by_the_same_command(
    lake: Lake,
    mine: UserBranch,
    ingest: Ingest,
    folder: Path,
    brain: Problem,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    ingest(mine.lake, folder)
    with monkeypatch.context() as patch, pytest.raises(CrashError), crash_at(patch, number):
        merge_branch.publish(lake, brain, "mine", NOW)
    made = merge_branch.publish(lake, brain, "mine", NOW)
    assert (made.name, made.n) == (releases.find(lake, "brain").name, 7)
    assert (branches.names(lake, "brain"), branches.half_removed(lake)) == ([], {})
    assert all(lake.branches(table) == [] for table in BRANCHED)


def test_a_branch_that_is_half_removed_is_named_and_not_read(
    lake: Lake, mine: UserBranch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(CrashError), crash_at(patch, 2):
        branches.drop(lake, "brain", "mine")
    with pytest.raises(StaleError, match="neuro branch drop mine"):
        branches.find(lake, "brain", "mine")
    branches.complete_drops(lake)
    assert branches.names(lake, "brain") == []


def test_dropping_leaves_nothing_of_a_branch(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path
) -> None:
    made = ingest(mine.lake, folder)
    branches.drop(lake, "brain", "mine")
    with pytest.raises(UnknownNameError):
        releases.find(lake, "brain", made.name)
    assert not [path for path in Path(lake.uri).rglob("*") if "mine" in path.name]
    assert not [path for path in Path(lake.uri).rglob("tree/**/*.lance") if path.is_file()]


def test_a_branch_begun_twice_is_one_until_something_is_on_it(
    lake: Lake, mine: UserBranch, ingest: Ingest, folder: Path
) -> None:
    assert branches.create(lake, "brain", "mine").base == mine.base
    ingest(mine.lake, folder)
    with pytest.raises(ConfigError, match="exists; publish or drop it"):
        branches.create(lake, "brain", "mine")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "main", "ä", "x" * 65])
def test_a_name_that_cannot_be_one_is_told(lake: Lake, base: Release, name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        branches.create(lake, "brain", name)


def test_an_unknown_branch_names_the_remedy(lake: Lake, base: Release, brain: Problem) -> None:
    with pytest.raises(UnknownNameError, match="neuro branch create mine"):
        merge_branch.publish(lake, brain, "mine", NOW)


def test_an_empty_branch_is_not_published(lake: Lake, mine: UserBranch, brain: Problem) -> None:
    with pytest.raises(ConfigError, match="holds nothing to publish"):
        merge_branch.publish(lake, brain, "mine", NOW)
