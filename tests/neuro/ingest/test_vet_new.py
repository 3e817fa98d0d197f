from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from neuro.errors import AuditError
from neuro.images.sandbox import Rejected
from neuro.images.sanitize import CleanImage
from neuro.ingest import delivery, pipeline, vet_new
from neuro.ingest.vet_new import IngestRun
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from tests.neuro.conftest import vet_here

Png = Callable[[int], bytes]
Deliver = Callable[..., Path]
Ingest = Callable[..., Release]
Bring = Callable[[Path], pipeline.Staged]


@pytest.fixture
def looked_at() -> list[list[str]]:
    return []


@pytest.fixture
def bring(lake: Lake, brain: Problem, now: datetime, looked_at: list[list[str]]) -> Bring:
    """Stage a folder, and note which files are vetted, call by call."""

    def check(paths: Sequence[Path]) -> Iterator[CleanImage | Rejected]:
        looked_at.append([path.name for path in paths])
        return vet_here(paths)

    def run(folder: Path) -> pipeline.Staged:
        arrived = delivery.read(folder, brain)
        return pipeline.stage(
            lake, IngestRun(problem=brain, delivery=arrived, check=check, now=now)
        )

    return run


@pytest.fixture
def three(deliver: Deliver, png: Png) -> Path:
    return deliver("in", {f"glioma/{n}.png": png(n) for n in range(3)})


def test_what_is_held_is_not_vetted_again(
    bring: Bring, ingest: Ingest, lake: Lake, three: Path, looked_at: list[list[str]], png: Png
) -> None:
    ingest(lake, three)
    (three / "glioma" / "new.png").write_bytes(png(7))
    bring(three)
    assert looked_at == [["new.png"]]


def test_a_copy_is_vetted_once(
    bring: Bring, deliver: Deliver, png: Png, looked_at: list[list[str]]
) -> None:
    bring(deliver("in", {f"glioma/{n}.png": png(0) for n in range(3)}))
    assert [len(paths) for paths in looked_at] == [1]


def test_what_the_lake_holds_for_a_run_cut_short_is_not_vetted_or_written_again(
    bring: Bring, lake: Lake, three: Path, looked_at: list[list[str]]
) -> None:
    staged = bring(three)
    lake.add("images", staged.branch.rows("images"))
    looked_at.clear()
    again = bring(three)
    assert (looked_at, len(again.files.accepted)) == ([], 3)
    pipeline.publish(again, pipeline.audit_branch(again))
    assert lake.read("images").num_rows == 3


def test_writing_goes_in_batches_and_loses_nothing(
    bring: Bring, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vet_new, "WRITE_ROWS", 2)
    staged = bring(three)
    assert staged.branch.rows("images").num_rows == 3


def test_a_file_that_changes_while_it_is_read_waits_without_bytes(
    lake: Lake, brain: Problem, three: Path, now: datetime, png: Png
) -> None:
    def check(paths: Sequence[Path]) -> Iterator[CleanImage | Rejected]:
        (three / "glioma" / "1.png").write_bytes(png(9))
        return vet_here(paths)

    arrived = delivery.read(three, brain)
    staged = pipeline.stage(lake, IngestRun(problem=brain, delivery=arrived, check=check, now=now))
    assert staged.files.reasons == {"changed": 1}
    assert lake.read("quarantine")["raw"].to_pylist() == [b""]


def test_a_file_that_is_in_no_place_fails_the_run(bring: Bring, three: Path) -> None:
    staged = bring(three)
    lost = replace(staged, files=replace(staged.files, accepted=staged.files.accepted[1:]))
    with pytest.raises(AuditError, match="3 files seen, 2 accepted"):
        pipeline.audit_branch(lost)


def test_a_delivery_without_news_keeps_the_passport_without_comparing_pictures(
    bring: Bring, ingest: Ingest, lake: Lake, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = ingest(lake, three)
    monkeypatch.setattr(pipeline, "inspect", None)
    assert pipeline.audit_branch(bring(three)) == release.passport
