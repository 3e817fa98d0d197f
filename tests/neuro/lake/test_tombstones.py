"""An erased image does not come back by itself, and a person may let it in again."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuro.erasure import erase as erasing
from neuro.erasure.erase import ErasureRequest, ErasureResult
from neuro.erasure.proof import Installation
from neuro.errors import ConfigError, UnknownNameError
from neuro.images.sandbox import Rejected
from neuro.images.sanitize import CleanImage
from neuro.ingest import pipeline, quarantine_decisions
from neuro.ingest.delivery import read as read_delivery
from neuro.ingest.vet_new import IngestRun
from neuro.lake import journal, quarantine, releases, tombstones
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from tests.neuro.conftest import vet_here

Png = Callable[[int], bytes]
Deliver = Callable[[str, Mapping[str, bytes]], Path]
Ingest = Callable[..., Release]
Stage = Callable[..., pipeline.Staged]
Erase = Callable[[bytes], ErasureResult]

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def ids(lake: Lake, dataset: str = "brain") -> set[str]:
    return {s.sample_id for s in releases.samples(lake, releases.find(lake, dataset))}


@pytest.fixture
def delivery(deliver: Deliver, png: Png) -> Path:
    return deliver("delivery", {f"glioma/anna-{n}.png": png(n) for n in range(3)})


@pytest.fixture
def chest() -> Problem:
    return problems.load("chest")


@pytest.fixture
def erase(lake: Lake, brain: Problem, tmp_path: Path) -> Erase:
    def run(raw: bytes) -> ErasureResult:
        request = ErasureRequest(
            problem=brain, group="", sample=digest(raw), reason="asked", who="Dr. A"
        )
        home = Installation(home=tmp_path / "home")
        return erasing.erase(lake, request, home, {"brain": brain}, NOW)

    return run


@pytest.fixture
def again(
    lake: Lake, ingest: Ingest, stage: Stage, delivery: Path, erase: Erase, png: Png
) -> pipeline.Staged:
    """The delivery once more, after its first image was erased; staged, not yet published."""
    ingest(lake, delivery)
    erase(png(0))
    return stage(lake, delivery)


def test_an_erased_image_that_is_delivered_again_waits_without_its_bytes(
    lake: Lake, again: pipeline.Staged, png: Png
) -> None:
    made = pipeline.publish(again, pipeline.audit_branch(again))
    assert ids(lake) == {digest(png(1)), digest(png(2))}
    assert digest(png(0)) not in lake.read("images")["sha256"].to_pylist()
    (row,) = quarantine.waiting(lake, "brain", "erased")
    assert (row.sha256, quarantine.raw(lake, row)) == (digest(png(0)), b"")
    counts = pipeline.receipt(again, made)
    assert (counts["seen"], counts["repeated"], counts["reasons"]) == (3, 2, {"erased": 1})


def test_of_an_erased_image_only_the_digest_is_kept(lake: Lake, again: pipeline.Staged) -> None:
    row = lake.read("quarantine", where="reason = 'erased'").to_pylist()[0]
    said = {name: row[name] for name in ("source_name", "label", "group_key", "metadata")}
    assert said == {"source_name": "", "label": "", "group_key": "", "metadata": "{}"}


def test_an_erased_image_is_not_opened_by_a_decoder(
    lake: Lake, ingest: Ingest, delivery: Path, erase: Erase, png: Png, brain: Problem
) -> None:
    ingest(lake, delivery)
    erase(png(0))
    opened: list[Path] = []

    def noted(paths: Sequence[Path]) -> Iterable[CleanImage | Rejected]:
        opened.extend(paths)
        return vet_here(paths)

    found = read_delivery(delivery, brain)
    pipeline.stage(lake, IngestRun(problem=brain, delivery=found, check=noted, now=NOW))
    assert opened == []


def test_an_erased_image_enters_no_other_dataset(
    lake: Lake, again: pipeline.Staged, stage: Stage, deliver: Deliver, png: Png, chest: Problem
) -> None:
    staged = stage(lake, deliver("other", {"train/NORMAL/1.png": png(0)}), chest)
    assert staged.files.reasons == {"erased": 1}


def test_an_erasure_after_it_is_proven_as_before(
    lake: Lake, again: pipeline.Staged, erase: Erase, png: Png
) -> None:
    pipeline.publish(again, pipeline.audit_branch(again))
    assert erase(png(1)).found == []


def test_releasing_it_from_quarantine_names_the_way_back(
    lake: Lake, again: pipeline.Staged, brain: Problem, png: Png
) -> None:
    asked = quarantine_decisions.Admission(digests=(digest(png(0)),), who="Dr. B")
    with pytest.raises(ConfigError, match="neuro erase --lift"):
        quarantine_decisions.release(lake, brain, asked, vet_here, NOW)


def test_a_person_may_let_it_in_again(
    lake: Lake, again: pipeline.Staged, ingest: Ingest, delivery: Path, png: Png
) -> None:
    lifted = tombstones.lift(lake, digest(png(0))[:8], "erased by mistake", "Dr. B", NOW)
    assert lifted == digest(png(0))
    ingest(lake, delivery)
    assert ids(lake) == {digest(png(n)) for n in range(3)}
    (entry,) = journal.entries(lake, "lift")
    assert (entry.body["who"], entry.body["reason"]) == ("Dr. B", "erased by mistake")


def test_what_was_let_in_and_erased_again_stays_away(
    lake: Lake, again: pipeline.Staged, ingest: Ingest, delivery: Path, erase: Erase, png: Png
) -> None:
    tombstones.lift(lake, digest(png(0)), "erased by mistake", "Dr. B", NOW)
    ingest(lake, delivery)
    erase(png(0))
    ingest(lake, delivery)
    assert ids(lake) == {digest(png(1)), digest(png(2))}
    assert len(journal.entries(lake, "erasure")) == 2


def test_only_what_was_erased_can_be_lifted(lake: Lake, again: pipeline.Staged, png: Png) -> None:
    for asked in ("", digest(png(1))):
        with pytest.raises(UnknownNameError, match="neuro journal list erasure"):
            tombstones.lift(lake, asked, "why", "Dr. B", NOW)
    with pytest.raises(ConfigError, match="reason"):
        tombstones.lift(lake, digest(png(0)), " ", "Dr. B", NOW)


def test_a_delivery_reads_the_journal_of_erasures_once(
    lake: Lake, stage: Stage, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = Lake.read

    def noted(self: Lake, table: str, **how: object) -> object:
        asked.append(f"{table} {how.get('where')}")
        return read(self, table, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "read", noted)
    stage(lake, delivery)
    assert len([one for one in asked if "erasure" in one]) == 1
