import io
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from neuro.errors import AuditError, ConfigError, StaleError, UnknownNameError
from neuro.images import sanitize
from neuro.ingest import pipeline, quarantine_decisions
from neuro.ingest.pipeline import Staged
from neuro.ingest.quarantine_decisions import Admission
from neuro.lake import branches, quarantine, releases
from neuro.lake.lake import Lake
from neuro.lake.quarantine import Decision
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from tests.neuro.conftest import vet_here

Png = Callable[[int], bytes]
Deliver = Callable[..., Path]
Ingest = Callable[..., Release]
Stage = Callable[..., Staged]
Decide = Callable[..., Release]
LETTER = b"Dear Mrs Mustermann, this is no image " * 40
DISCARD = Decision(action="discard", who="A", label="", why="a letter")


def digest(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()


def recoded(raw: bytes) -> bytes:
    """The same pixels in other bytes: grey as RGB, with a comment."""
    buffer, note = io.BytesIO(), PngInfo()
    note.add_text("Comment", "another export")
    with Image.open(io.BytesIO(raw)) as picture:
        picture.convert("RGB").save(buffer, "PNG", pnginfo=note)
    return buffer.getvalue()


def labels(lake: Lake, release: Release) -> dict[str, str]:
    return {s.sample_id: s.label for s in releases.samples(lake, release)}


def on_disk(lake: Lake, secret: bytes) -> list[Path]:
    files = [path for path in Path(lake.uri).rglob("*") if path.is_file()]
    return [path for path in files if secret in path.read_bytes()]


@pytest.fixture
def decide(lake: Lake, brain: Problem, now: datetime) -> Decide:
    def run(*digests: str, label: str = "", who: str = "A") -> Release:
        asked = Admission(digests=digests, who=who, label=label)
        return quarantine_decisions.release(lake, brain, asked, vet_here, now)[0]

    return run


@pytest.fixture
def clash(lake: Lake, ingest: Ingest, deliver: Deliver, png: Png) -> str:
    """Held as glioma, it arrives again as pituitary: the digest that waits."""
    ingest(lake, deliver("one", {"glioma/0.png": png(0), "glioma/1.png": png(1)}))
    ingest(lake, deliver("two", {"pituitary/0.png": png(0)}))
    return digest(png(0))


def test_a_conflict_shows_both_labels_and_both_samples(lake: Lake, clash: str) -> None:
    facts = quarantine_decisions.facts(lake, "brain", clash[:8])
    assert [row["label"] for row in facts["arrived"]] == ["pituitary"]
    assert [(row["sha256"], row["label"]) for row in facts["held"]] == [(clash, "glioma")]


def test_both_labels_of_one_delivery_are_shown(
    lake: Lake, ingest: Ingest, deliver: Deliver, png: Png
) -> None:
    ingest(lake, deliver("in", {"glioma/0.png": png(0), "pituitary/again.png": png(0)}))
    facts = quarantine_decisions.facts(lake, "brain", digest(png(0)))
    shown = {(row["label"], row["source_name"]) for row in facts["arrived"]}
    assert shown == {("glioma", "glioma/0.png"), ("pituitary", "pituitary/again.png")}
    assert facts["held"] == []


def test_a_conflict_is_settled_by_a_reviewed_label_in_a_new_release(
    lake: Lake, clash: str, decide: Decide
) -> None:
    before = releases.find(lake, "brain")
    release = decide(clash, label="pituitary")
    assert labels(lake, before)[clash] == "glioma"
    assert (labels(lake, release)[clash], release.parent) == ("pituitary", before.name)
    newest = lake.read("labels", where=f"sha256 = '{clash}'").sort_by("sequence").to_pylist()[-1]
    assert (newest["who"], newest["is_reviewed"]) == ("A", True)
    assert quarantine.waiting(lake, "brain") == []


def test_nothing_is_released_while_the_problem_has_open_questions(
    lake: Lake, clash: str, brain: Problem, now: datetime
) -> None:
    asked = Admission(digests=(clash,), who="A", label="glioma")
    doubtful = replace(brain, unanswered=("is it?",))
    with pytest.raises(ConfigError, match="until it is answered"):
        quarantine_decisions.release(lake, doubtful, asked, vet_here, now)
    assert [row.sha256 for row in quarantine.waiting(lake, "brain")] == [clash]


def test_a_conflict_without_a_chosen_label_is_refused(
    lake: Lake, clash: str, decide: Decide
) -> None:
    with pytest.raises(ConfigError, match="--label"):
        decide(clash)
    assert len(quarantine.waiting(lake, "brain")) == 1


def test_the_old_label_may_be_the_right_one(lake: Lake, clash: str, decide: Decide) -> None:
    before = releases.find(lake, "brain")
    assert decide(clash, label="glioma") == before
    (entry,) = quarantine.decisions(lake, "brain")
    assert (entry.body["action"], entry.body["label"]) == ("release", "glioma")


def test_what_was_decided_does_not_wait_again_and_a_third_label_does(
    lake: Lake, clash: str, decide: Decide, ingest: Ingest, deliver: Deliver, png: Png
) -> None:
    decide(clash, label="glioma")
    ingest(lake, deliver("again", {"pituitary/0.png": png(0)}))
    assert quarantine.waiting(lake, "brain") == []
    ingest(lake, deliver("third", {"meningioma/0.png": png(0)}))
    assert [row.label for row in quarantine.waiting(lake, "brain")] == ["meningioma"]


def test_equal_pixels_in_other_bytes_under_two_labels_do_not_enter(
    lake: Lake, stage: Stage, deliver: Deliver, png: Png
) -> None:
    folder = deliver("in", {"glioma/0.png": png(0), "pituitary/b.png": recoded(png(0))})
    staged = stage(lake, folder)
    release = pipeline.publish(staged, pipeline.audit_branch(staged))
    assert (release.n, lake.read("images").num_rows) == (0, 0)
    assert {row.other for row in quarantine.waiting(lake, "brain")} == {
        digest(png(0)),
        digest(recoded(png(0))),
    }


def test_a_ruling_on_equal_pixels_gives_both_samples_one_label(
    lake: Lake, ingest: Ingest, decide: Decide, deliver: Deliver, png: Png
) -> None:
    ingest(lake, deliver("one", {"glioma/0.png": png(0)}))
    ingest(lake, deliver("two", {"pituitary/b.png": recoded(png(0))}))
    release = decide(digest(recoded(png(0))), label="pituitary")
    assert labels(lake, release) == dict.fromkeys(
        (digest(png(0)), digest(recoded(png(0)))), "pituitary"
    )


def test_what_still_fails_vetting_is_not_released(
    lake: Lake, ingest: Ingest, decide: Decide, deliver: Deliver
) -> None:
    ingest(lake, deliver("in", {"letter.png": LETTER}))
    with pytest.raises(ConfigError, match="still fails vetting"):
        decide(digest(LETTER), label="glioma")
    assert len(quarantine.waiting(lake, "brain")) == 1


def test_what_now_passes_vetting_enters_with_what_it_arrived_with(
    lake: Lake,
    ingest: Ingest,
    decide: Decide,
    deliver: Deliver,
    png: Png,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as older:
        older.setattr(sanitize, "MIN_SIDE_PX", 64)
        ingest(lake, deliver("in", {"Training/glioma/0.png": png(0)}))
    (row,) = quarantine.waiting(lake, "brain")
    assert (row.reason, row.stage) == ("too_small", "vet")
    release = decide(row.sha256)
    (sample,) = releases.samples(lake, release)
    assert (sample.label, sample.given_split) == ("glioma", "train")
    assert sample.source_name == "Training/glioma/0.png"


def test_a_discarded_file_leaves_no_byte_and_a_decision(
    lake: Lake, ingest: Ingest, deliver: Deliver, now: datetime
) -> None:
    folder = deliver("in", {"letter.png": LETTER, "other.png": b"another text"})
    ingest(lake, folder)
    secret = LETTER[:40]
    assert on_disk(lake, secret)
    for _ in range(2):  # running twice is harmless
        assert quarantine_decisions.discard(lake, "brain", [digest(LETTER)], DISCARD, now) == (
            digest(LETTER),
        )
    assert on_disk(lake, secret) == []
    (entry,) = quarantine.decisions(lake, "brain")
    assert (entry.body["action"], entry.body["why"]) == ("discard", "a letter")
    assert [row.sha256 for row in quarantine.waiting(lake, "brain")] == [digest(b"another text")]
    ingest(lake, folder)
    assert on_disk(lake, secret) == []


def test_a_discarded_file_leaves_no_byte_beside_a_branch_that_was_begun_meanwhile(
    lake: Lake, ingest: Ingest, deliver: Deliver, png: Png, now: datetime
) -> None:
    ingest(lake, deliver("in", {"letter.png": LETTER, "glioma/0.png": png(0)}))
    mine = branches.create(lake, "brain", "mine")
    quarantine_decisions.discard(lake, "brain", [digest(LETTER)], DISCARD, now)
    assert on_disk(lake, LETTER[:40]) == []
    ingest(mine.lake, deliver("more", {"glioma/1.png": png(1), "note.png": b"another text"}))
    assert [row.sha256 for row in quarantine.waiting(mine.lake, "brain")] == [
        digest(b"another text")
    ]


def test_a_discard_cut_short_is_made_good_by_the_same_command(
    lake: Lake, ingest: Ingest, deliver: Deliver, now: datetime
) -> None:
    ingest(lake, deliver("in", {"letter.png": LETTER}))
    quarantine.record(lake, quarantine.waiting(lake, "brain"), DISCARD, now)
    quarantine_decisions.discard(lake, "brain", [digest(LETTER)], DISCARD, now)
    assert on_disk(lake, LETTER[:40]) == []


def test_a_release_cut_short_is_made_good_by_the_same_command(
    lake: Lake, clash: str, decide: Decide, now: datetime
) -> None:
    chosen = Decision(action="release", who="A", label="pituitary", why="")
    quarantine.record(lake, quarantine.waiting(lake, "brain"), chosen, now)
    assert labels(lake, decide(clash, label="pituitary"))[clash] == "pituitary"


def test_of_two_people_the_second_is_told(
    lake: Lake, clash: str, decide: Decide, now: datetime
) -> None:
    quarantine.record(lake, quarantine.waiting(lake, "brain"), DISCARD, now)
    with pytest.raises(StaleError, match="discard by A"):
        decide(clash, label="pituitary", who="B")
    assert labels(lake, releases.find(lake, "brain"))[clash] == "glioma"


def test_nothing_waits_under_an_unknown_digest(lake: Lake, decide: Decide) -> None:
    with pytest.raises(UnknownNameError, match="neuro quarantine list"):
        decide("f" * 64)


def test_a_damaged_store_makes_no_release(
    lake: Lake, stage: Stage, deliver: Deliver, png: Png
) -> None:
    staged = stage(lake, deliver("in", {f"glioma/{n}.png": png(n) for n in range(3)}))
    passport = pipeline.audit_branch(staged)
    (file,) = [f for f in on_disk(lake, b"IHDR") if "images.lance" in str(f)]
    raw = file.read_bytes()
    at = raw.index(b"IDAT") + 20
    file.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    with pytest.raises(AuditError, match="verification sample: 1 of 3"):
        pipeline.publish(staged, passport)
    assert releases.current(lake, "brain") is None


def test_a_file_is_counted_when_it_came_whatever_was_decided_since(
    lake: Lake, ingest: Ingest, deliver: Deliver, now: datetime
) -> None:
    ingest(lake, deliver("in", {"letter.png": LETTER, "note.png": b"another text"}))
    came = max(row.at for row in quarantine.waiting(lake, "brain"))
    quarantine_decisions.discard(lake, "brain", [digest(LETTER)], DISCARD, now)
    second = timedelta(seconds=1)
    assert quarantine.n_arrived(lake, "brain", came - second, came) == 2
    assert quarantine.n_arrived(lake, "brain", came, came + second) == 0
    assert quarantine.n_arrived(lake, "chest", came - second, came) == 0
