import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from neuro.errors import AuditError, ManifestError
from neuro.images import sanitize
from neuro.images.sandbox import Rejected
from neuro.images.sanitize import CleanImage
from neuro.ingest import delivery, pipeline
from neuro.ingest.pipeline import Staged
from neuro.ingest.schemas import ManifestReport
from neuro.ingest.vet_new import IngestRun
from neuro.lake import content_hash, releases
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems import problem
from neuro.problems.problem import Layout, Problem
from neuro.sample import Sample
from tests.neuro.conftest import vet_here

Png = Callable[[int], bytes]
Deliver = Callable[..., Path]
Ingest = Callable[..., Release]
Stage = Callable[..., Staged]


@pytest.fixture
def first(deliver: Deliver, png: Png) -> Path:
    """Ten images of two classes, the last a copy of the first under another name."""
    files = {f"Training/{'glioma' if n % 2 else 'notumor'}/{n}.png": png(n) for n in range(9)}
    return deliver("first", files | {"Training/notumor/copy.png": png(0)})


@pytest.fixture
def second(deliver: Deliver, png: Png) -> Path:
    """Five new images, one that is held already, without labels."""
    return deliver("second", {f"{n}.png": png(n) for n in range(8, 14)})


def everything(lake: Lake) -> dict[str, list[dict[str, object]]]:
    tables = ("images", "samples", "labels", "quarantine")
    return {table: lake.read(table).sort_by("sha256").to_pylist() for table in tables}


def test_a_delivery_becomes_a_release(lake: Lake, stage: Stage, first: Path) -> None:
    staged = stage(lake, first)
    release = pipeline.publish(staged, pipeline.audit_branch(staged))
    receipt = pipeline.receipt(staged, release)
    expected = {"seen": 10, "accepted": 9, "repeated": 1, "quarantined": 0, "conflicts": 0}
    assert expected.items() <= receipt.items()
    assert receipt["content_hash"] == release.content_hash
    held = releases.samples(lake, release)
    assert len(held) == release.n == 9
    assert sorted(s.label for s in held) == ["glioma"] * 4 + ["notumor"] * 5
    assert {s.given_split for s in held} == {"train"}
    assert release.passport["images"] == 9


def test_the_same_delivery_twice_changes_nothing(
    lake: Lake, stage: Stage, ingest: Ingest, first: Path
) -> None:
    once = ingest(lake, first)
    before = everything(lake)
    staged = stage(lake, first)
    again = pipeline.publish(staged, pipeline.audit_branch(staged))
    assert again == once
    assert everything(lake) == before
    assert pipeline.receipt(staged, again)["repeated"] == 10
    assert len(releases.history(lake, "brain")) == 1


def test_a_release_read_a_second_time_has_the_same_hash(
    lake: Lake, ingest: Ingest, first: Path, second: Path
) -> None:
    release = ingest(lake, first)
    before = releases.samples(lake, release)
    ingest(lake, second)
    again = releases.find(Lake(lake.uri), "brain", release.name)
    assert releases.samples(Lake(lake.uri), again) == before
    rows = {name: [getattr(sample, name) for sample in before] for name in content_hash.HASHED}
    digest = content_hash.Digest()
    digest.update(pa.table(rows))
    assert digest.hexdigest() == release.content_hash


def test_later_data_never_moves_what_is_held(
    lake: Lake, ingest: Ingest, first: Path, second: Path
) -> None:
    before = {s.sample_id: s for s in releases.samples(lake, ingest(lake, first))}
    after = {s.sample_id: s for s in releases.samples(lake, ingest(lake, second))}
    assert len(after) == 14
    assert {key: after[key] for key in before} == before


def test_two_orders_of_the_same_files_draw_the_same(
    tmp_path: Path,
    ingest: Ingest,
    deliver: Deliver,
    png: Png,
) -> None:
    names = [f"glioma/{n}.png" for n in range(6)]
    there = deliver("there", {name: png(n) for n, name in enumerate(names)})
    back = deliver("back", {name: png(5 - n) for n, name in enumerate(names)})
    hashes = {ingest(Lake(str(tmp_path / f.name)), f).content_hash for f in (there, back)}
    assert len(hashes) == 1


def test_a_staged_delivery_cannot_be_seen(
    lake: Lake,
    ingest: Ingest,
    stage: Stage,
    first: Path,
    second: Path,
) -> None:
    release = ingest(lake, first)
    before = everything(lake)
    stage(lake, second)
    assert everything(lake) == before
    assert releases.current(lake, "brain") == release


@pytest.mark.parametrize("merged", [("images",), ("images", "labels")])
def test_a_crash_between_two_merges_is_made_good_by_the_same_command(
    tmp_path: Path,
    stage: Stage,
    ingest: Ingest,
    first: Path,
    second: Path,
    merged: tuple[str, ...],
) -> None:
    whole, hurt = Lake(str(tmp_path / "whole")), Lake(str(tmp_path / "hurt"))
    for lake in (whole, hurt):
        ingest(lake, second)
    expected = ingest(whole, first).content_hash
    before = releases.current(hurt, "brain")
    staged = stage(hurt, first)
    for table in merged:
        hurt.add(table, staged.branch.rows(table))
    assert releases.current(hurt, "brain") == before
    assert releases.samples(hurt, releases.find(hurt, "brain"))  # still readable
    again = Lake(hurt.uri)
    assert ingest(again, first).content_hash == expected
    assert len(again.read("images")) == len(whole.read("images")) == 14
    assert len(again.read("labels")) == len(whole.read("labels"))


def test_a_crash_before_the_release_is_made_good_by_the_same_command(
    tmp_path: Path, stage: Stage, ingest: Ingest, first: Path
) -> None:
    whole, hurt = Lake(str(tmp_path / "whole")), Lake(str(tmp_path / "hurt"))
    stage(hurt, first).branch.publish()
    assert releases.current(hurt, "brain") is None
    assert ingest(hurt, first).content_hash == ingest(whole, first).content_hash


def test_labels_the_problem_does_not_know_fail_the_audit_and_leave_no_branch(
    lake: Lake,
    ingest: Ingest,
    stage: Stage,
    deliver: Deliver,
    png: Png,
    second: Path,
) -> None:
    ingest(lake, deliver("two", {"Cancer/a.png": png(50)}), problem.load("brain_tumor"))
    staged = stage(lake, second)
    with pytest.raises(AuditError, match=r"unknown to problem brain: \['Cancer'\]"):
        pipeline.audit_branch(staged)
    assert lake.open("samples").branches.list() == {}
    assert len(lake.read("samples")) == 1


def test_bytes_stored_otherwise_than_vetted_fail_the_audit(
    lake: Lake, brain: Problem, first: Path, now: datetime
) -> None:
    arrived = delivery.read(first, brain)
    bad = sanitize.clean(arrived.items[3].path.read_bytes()).sha256

    def check(paths: Sequence[Path]) -> Iterator[CleanImage | Rejected]:
        for one in vet_here(paths):
            altered = isinstance(one, CleanImage) and one.sha256 == bad
            yield replace(one, stored_sha256="0" * 64) if altered else one

    staged = pipeline.stage(lake, IngestRun(problem=brain, delivery=arrived, check=check, now=now))
    with pytest.raises(AuditError, match=bad[:12]):
        pipeline.audit_branch(staged)
    assert lake.open("images").branches.list() == {}
    assert releases.current(lake, "brain") is None


def test_the_report_of_a_checked_manifest_is_taken_and_no_second_check_made(
    lake: Lake, brain: Problem, first: Path, now: datetime
) -> None:
    """The files are fine: only the report can refuse them."""
    report = ManifestReport(files=10, refused={"label: unknown": 1}, noted={})
    run = IngestRun(
        problem=brain,
        delivery=delivery.read(first, brain),
        check=vet_here,
        now=now,
        manifest=report,
    )
    with pytest.raises(ManifestError):
        pipeline.stage(lake, run)
    assert not lake.has("images")


def test_a_conflict_waits_with_its_bytes_and_the_old_label_stays(
    lake: Lake,
    ingest: Ingest,
    stage: Stage,
    first: Path,
    deliver: Deliver,
    png: Png,
) -> None:
    ingest(lake, first)
    folder = deliver("third", {"meningioma/0.png": png(0)})
    staged = stage(lake, folder)
    release = pipeline.publish(staged, pipeline.audit_branch(staged))
    receipt = pipeline.receipt(staged, release)
    assert (receipt["conflicts"], receipt["reasons"]) == (1, {"label_conflict": 1})
    (row,) = lake.read("quarantine").to_pylist()
    assert (row["stage"], row["label"], row["raw"]) == ("intake", "meningioma", png(0))
    (held,) = [s for s in releases.samples(lake, release) if s.sample_id == row["sha256"]]
    assert held.label == "notumor"


def test_a_rejected_file_is_kept_until_a_person_decides(
    lake: Lake, stage: Stage, deliver: Deliver
) -> None:
    for _ in range(2):
        staged = stage(lake, deliver("in", {"a.png": b"no image"}))
        release = pipeline.publish(staged, pipeline.audit_branch(staged))
    assert pipeline.receipt(staged, release)["quarantined"] == 1
    (row,) = lake.read("quarantine").to_pylist()
    assert (row["reason"], row["stage"], row["raw"]) == ("not_an_image", "vet", b"no image")


def test_the_first_label_of_a_held_image_is_taken(
    lake: Lake,
    ingest: Ingest,
    second: Path,
    deliver: Deliver,
    png: Png,
) -> None:
    ingest(lake, second)
    release = ingest(lake, deliver("later", {"pituitary/8.png": png(8)}))
    sample_id = sanitize.clean(png(8)).sha256
    labels = {s.sample_id: s.label for s in releases.samples(lake, release)}
    assert labels.pop(sample_id) == "pituitary"
    assert set(labels.values()) == {""}


def test_a_twin_between_two_splits_is_a_finding(
    lake: Lake,
    brain: Problem,
    ingest: Ingest,
    stage: Stage,
    deliver: Deliver,
    png: Png,
    first: Path,
) -> None:
    held = releases.samples(lake, ingest(lake, first))
    loose = replace(brain, groups=replace(brain.groups, twin_cosine=0.51))
    blended = deliver("blend", {"x.png": blend(held, first)})
    staged = stage(lake, blended, loose)
    release = pipeline.publish(staged, pipeline.audit_branch(staged))
    (finding,) = staged.findings
    assert finding.code == "bridges_splits"
    (bridge,) = [s for s in releases.samples(lake, release) if s.sample_id == finding.sample_id]
    assert bridge.split == "none"
    assert release.passport["splits"]["none"] == 1
    assert pipeline.receipt(staged, release)["found"] == {"bridges_splits": 1}


def blend(held: Sequence[Sample], folder: Path) -> bytes:
    """The mean of two pictures of different splits: cosine 0.7 with either."""
    pair = [next(s for s in held if s.split == where) for where in sorted({s.split for s in held})][
        :2
    ]
    mean = np.mean([np.asarray(Image.open(folder / s.source_name)) for s in pair], axis=0)
    buffer = io.BytesIO()
    Image.fromarray(mean.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_phantoms_stay_marked_synthetic_for_good(
    lake: Lake, ingest: Ingest, first: Path, second: Path
) -> None:
    delivery.write_note(first, source="phantoms", is_synthetic=True)
    assert ingest(lake, first).is_synthetic
    later = ingest(lake, second)
    assert later.is_synthetic
    assert later.passport["is_synthetic"]


def test_an_empty_inbox_is_a_release_of_nothing(lake: Lake, stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    staged = stage(lake, tmp_path / "inbox")
    release = pipeline.publish(staged, pipeline.audit_branch(staged))
    assert (pipeline.receipt(staged, release)["seen"], release.n) == (0, 0)


def test_a_receipt_counts_the_images_without_a_label_and_says_why(
    lake: Lake, brain: Problem, stage: Stage, deliver: Deliver, png: Png
) -> None:
    layout = Layout(kind="table", table="l.csv", file="file", label="label")
    asked = replace(brain, layout=layout)
    table = b"file,label\na.jpg,glioma\nb.png,\n"
    folder = deliver("in", {"a.png": png(1), "b.png": png(2), "c.png": png(3), "l.csv": table})
    staged = stage(lake, folder, asked)
    receipt = pipeline.receipt(staged, pipeline.publish(staged, pipeline.audit_branch(staged)))
    assert (receipt["accepted"], receipt["unlabelled"]) == (3, 2)
    spelling, unnamed, empty = receipt["remarks"]
    assert spelling.startswith("images that l.csv names with another spelling (the ending): 1")
    assert unnamed.startswith("images that l.csv does not name, and so without a label: 1 of 3")
    assert empty == "images whose label is empty in l.csv: 1"
