from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuro.errors import ConfigError
from neuro.images import sanitize
from neuro.ingest import late_labels
from neuro.ingest.late_labels import Imported
from neuro.lake import releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem

Png = Callable[[int], bytes]
Deliver = Callable[..., Path]
Ingest = Callable[..., Release]
Bring = Callable[..., Imported]

LATER = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
def held(
    lake: Lake,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
) -> Lake:
    """Three unlabelled images, released."""
    ingest(lake, deliver("in", {"a.png": png(0), "b.png": png(1), "c.png": png(2)}))
    return lake


@pytest.fixture
def bring(held: Lake, brain: Problem, tmp_path: Path) -> Bring:
    def run(*lines: str, name: str = "labels.csv") -> Imported:
        path = tmp_path / name
        path.write_text("\n".join(["sample,label,who,when", *lines]), encoding="utf-8")
        return late_labels.import_file(held, brain, path, LATER)

    return run


def labels_of(lake: Lake) -> dict[str, str]:
    rows = releases.samples(lake, releases.find(lake, "brain"))
    return {s.source_name: s.label for s in rows}


def test_labels_come_by_digest_and_by_source_name(held: Lake, bring: Bring, png: Png) -> None:
    done = bring(f"{sanitize.clean(png(0)).sha256},glioma,Dr. A,", "b.png,notumor,Dr. A,")
    assert (done.seen, done.added, done.unchanged) == (2, 2, 0)
    assert labels_of(held) == {"a.png": "glioma", "b.png": "notumor", "c.png": ""}
    assert done.release == releases.current(held, "brain")


def test_a_label_says_by_whom_and_when(held: Lake, bring: Bring) -> None:
    bring("a.png,glioma,Dr. A,2026-11-25T10:30:00+02:00")
    (row,) = held.read("labels").to_pylist()
    assert (row["who"], row["is_reviewed"]) == ("Dr. A", True)
    assert row["labelled_at"] == datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


def test_each_label_keeps_its_own_person_and_time(held: Lake, bring: Bring) -> None:
    done = bring(
        "a.png,glioma,Dr. A,2026-11-20T08:00:00+00:00",
        "b.png,notumor,Dr. B,2026-11-25T08:00:00+00:00",
        "c.png,notumor,Dr. C,",
    )
    samples = releases.samples(held, done.release)
    names = {sample.sample_id: sample.source_name for sample in samples}
    told = {
        names[row["sha256"]]: (row["who"], row["labelled_at"].day)
        for row in held.read("labels").to_pylist()
    }
    assert told == {"a.png": ("Dr. A", 20), "b.png": ("Dr. B", 25), "c.png": ("Dr. C", 27)}
    assert done.release.note == "labels by Dr. A, Dr. B, Dr. C"


def test_a_label_that_two_readers_agree_on_names_both_and_the_later_time(
    held: Lake, bring: Bring
) -> None:
    done = bring(
        "a.png,glioma,Dr. B,2026-11-25T08:00:00+00:00",
        "a.png,glioma,Dr. A,2026-11-20T08:00:00+00:00",
    )
    (row,) = held.read("labels").to_pylist()
    assert (done.seen, row["who"], row["labelled_at"].day) == (1, "Dr. A, Dr. B", 25)


def test_without_a_time_the_label_is_of_the_import(held: Lake, bring: Bring) -> None:
    bring("a.png,glioma,Dr. A,")
    assert held.read("labels").to_pylist()[0]["labelled_at"] == LATER


def test_the_same_file_twice_changes_nothing(held: Lake, bring: Bring) -> None:
    once = bring("a.png,glioma,Dr. A,")
    again = bring("a.png,glioma,Dr. A,")
    assert again.release == once.release
    assert (again.added, again.unchanged) == (0, 1)
    assert len(held.read("labels")) == 1


def test_a_newer_label_supersedes_and_the_older_stays_on_record(held: Lake, bring: Bring) -> None:
    old = bring("a.png,glioma,Dr. A,").release
    bring("a.png,notumor,Dr. B,", name="newer.csv")
    assert labels_of(held)["a.png"] == "notumor"
    assert {s.label for s in releases.samples(held, old)} == {"glioma", ""}
    rows = held.read("labels").sort_by("sequence").to_pylist()
    assert [(row["sequence"], row["label"]) for row in rows] == [(0, "glioma"), (1, "notumor")]


def test_an_old_file_brought_again_does_not_undo_a_newer_label(held: Lake, bring: Bring) -> None:
    bring("a.png,glioma,Dr. A,")
    bring("a.png,notumor,Dr. B,", name="newer.csv")
    bring("a.png,glioma,Dr. A,")
    assert labels_of(held)["a.png"] == "notumor"


WRONG = {
    "sample": ("z.png,glioma,Dr. A,", "no sample 'z.png'"),
    "label": ("b.png,gliom,Dr. A,", "label 'gliom' is unknown; known are glioma, "),
    "time": ("b.png,glioma,Dr. A,yesterday", "no ISO 8601 time"),
    "time zone": ("b.png,glioma,Dr. A,2026-11-25T10:30:00", "no time zone"),
    "person": ("b.png,glioma,,", "says not who"),
    "second label": ("a.png,notumor,Dr. A,", "two labels in this file"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_line_is_named_and_nothing_is_written(held: Lake, bring: Bring, what: str) -> None:
    line, message = WRONG[what]
    before = releases.current(held, "brain")
    with pytest.raises(ConfigError, match=rf"labels\.csv, line 3: .*{message}"):
        bring("a.png,glioma,Dr. A,", line)
    assert len(held.read("labels")) == 0
    assert releases.current(held, "brain") == before
    assert held.open("labels").branches.list() == {}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"sample,label,who\nb.png,glioma\n", "not the 3 cells of line 1: 2"),
        ("sample,label,who\nb.png,glioma,Dr. Müller\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("sample,label,who\nb.png,glioma,A\n".encode("utf-16"), "is UTF-16"),
        (b"sample;label;who\nb.png;glioma;A\n", "separated by semicolons"),
        (b"", "is empty"),
    ],
)
def test_a_label_file_that_cannot_be_read_names_cause_and_remedy(
    held: Lake, brain: Problem, tmp_path: Path, raw: bytes, message: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=message):
        late_labels.import_file(held, brain, path, LATER)


def test_a_name_that_two_samples_have_needs_the_digest(
    held: Lake,
    bring: Bring,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
) -> None:
    ingest(held, deliver("other", {"a.png": png(7)}))
    with pytest.raises(ConfigError, match=r"line 2: 2 samples are named 'a\.png'"):
        bring("a.png,glioma,Dr. A,")


def test_a_missing_column_is_named(held: Lake, brain: Problem, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("sample,label\na.png,glioma\n")
    with pytest.raises(ConfigError, match=r"no column \['who'\]"):
        late_labels.import_file(held, brain, path, LATER)


def test_a_missing_file_is_named(held: Lake, brain: Problem, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"label file .*gone\.csv does not exist"):
        late_labels.import_file(held, brain, tmp_path / "gone.csv", LATER)


def test_a_dataset_without_images_gets_no_labels(
    lake: Lake, brain: Problem, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="has no release; ingest images first"):
        late_labels.import_file(lake, brain, tmp_path / "labels.csv", LATER)


def test_a_name_of_which_the_lake_has_a_digest_is_still_understood(
    lake: Lake, brain: Problem, ingest: Ingest, deliver: Deliver, png: Png, tmp_path: Path
) -> None:
    private = replace(brain, layout=replace(brain.layout, names="digest"))
    ingest(lake, deliver("in", {"Jane Doe.png": png(0)}), private)
    (kept,) = lake.read("samples")["source_name"].to_pylist()
    assert kept == private.name_digest("Jane Doe.png") == private.kept_name(kept)
    assert "Jane" not in kept
    path = tmp_path / "l.csv"
    path.write_text("sample,label,who\nJane Doe.png,glioma,Dr. A\n", encoding="utf-8")
    assert late_labels.import_file(lake, private, path, LATER).added == 1
