"""What a role may, what a reader may see when, and that nothing a reader said is lost."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.reading_room import judged, words
from deployments.reading_room.backend import Backend, Installation, Servers
from deployments.reading_room.release_rows import Filter
from deployments.service.directory import Directory
from deployments.service.vetting import Vetting
from neuro import people
from neuro.errors import ConfigError, DeniedError, StorageError, UnknownNameError
from neuro.lake import incidents, journal, releases, work_list
from neuro.lake.incidents import Report
from neuro.lake.lake import Lake
from neuro.lake.read_drafts import ReadDraft
from neuro.lake.releases import Release
from neuro.lake.work_list import ADJUDICATED, FINAL, FIRST, UNCERTAIN, WorkItem, WorkKey
from neuro.prediction import stored
from neuro.problems.problem import Problem
from neuro.promotion import verdict_log
from neuro.promotion.verdict_log import ACKNOWLEDGE, OVERRULE, SNOOZE
from tests.tasks.test_work_list import answer

In = Callable[[str, str], Backend]


@pytest.fixture
def release(
    lake: Lake,
    ingest: Callable[..., Release],
    deliver: Callable[..., Path],
    png: Callable[[int], bytes],
) -> Release:
    files = {f"{'glioma' if n % 2 else 'pituitary'}/{n}.png": png(n) for n in range(6)}
    return ingest(lake, deliver("a", files))


@pytest.fixture
def in_name_of(lake: Lake, tmp_path: Path, release: Release) -> In:
    """in_name_of("ana", "reader"): all of one installation; nothing answers for the service."""
    here = Installation(
        lake=lake,
        home=tmp_path,
        servers=Servers(service="http://127.0.0.1:9"),
        token="neuro_of_nobody",  # noqa: S106
        vetting=Vetting(tmp_path / "scratch", 1, file_bytes=1 << 20),
        directory=Directory(tmp_path / "people.json"),
    )

    def make(name: str, role: str) -> Backend:
        if here.directory.named(name) is None:
            people.add(tmp_path / "people.json", name, role)
        return Backend(here, name)

    return make


@pytest.fixture
def keys(lake: Lake, brain: Problem, release: Release, now: datetime) -> list[WorkKey]:
    """Three items that one reader decides, of which version 1 has answered the first."""
    ids = [sample.sample_id for sample in releases.samples(lake, release)][:3]
    found = [WorkKey("brain", sample_id) for sample_id in ids]
    work_list.add(lake, [item(key, now, rank=n) for n, key in enumerate(found)])
    body = {"problem": "brain", "challenger": "1", "champion": "", "is_promoted": True}
    body |= {"after": 0, "package": "f" * 64, "reason": "", "decision": "promote", "gates": []}
    journal.record(lake, "decision", "brain/1", body, now)
    stored.add(lake, brain, [answer(ids[0], "abstain", 0.6)], ["w"], now)
    return found


def item(key: WorkKey, at: datetime, *, readers: int = 1, rank: float = 0.0) -> WorkItem:
    return WorkItem(
        key=key,
        dataset="brain",
        source=UNCERTAIN,
        why="two are left",
        added_at=at,
        readers=readers,
        rank=rank,
    )


def _reading(backend: Backend, key: WorkKey) -> work_list.Reading:
    return work_list.find(backend.here.lake, key)


def _counts(backend: Backend) -> tuple[int, int]:
    work = backend.work("brain")
    return work.done, len(work.waiting)


def test_a_person_has_the_role_of_now_at_each_call(
    in_name_of: In, keys: list[WorkKey], tmp_path: Path
) -> None:
    bob = in_name_of("bob", "approver")
    people.remove(tmp_path / "people.json", "bob")
    with pytest.raises(DeniedError, match="not among the people any more"):
        bob.say(keys[0], FIRST, "glioma")
    people.add(tmp_path / "people.json", "bob", "viewer")
    with pytest.raises(DeniedError, match="bob is a viewer"):
        bob.say(keys[0], FIRST, "glioma")


def test_a_draft_that_cannot_be_stored_any_more_is_told_and_its_note_stays(
    in_name_of: In, keys: list[WorkKey]
) -> None:
    bob = in_name_of("bob", "approver")
    draft = ReadDraft(label="glioma", note="an edge", step=ADJUDICATED)
    bob.drafts.put("bob", keys[0], draft)
    n, troubles = bob.store_drafts()
    assert (n, len(troubles)) == (0, 1)
    assert bob.draft(keys[0]) == ReadDraft(note="an edge")
    assert bob.store_drafts() == (0, [])


def test_nothing_is_kept_about_an_image_that_is_gone(in_name_of: In, keys: list[WorkKey]) -> None:
    ana, gone = in_name_of("ana", "reader"), WorkKey("brain", "f" * 64)
    for refused in (
        lambda: ana.note(gone, "patient Miller"),
        lambda: ana.say(gone, FIRST, "glioma", "patient Miller"),
    ):
        with pytest.raises(UnknownNameError):
            refused()
    assert ana.drafts.of("ana") == []


def test_a_note_that_is_too_long_loses_no_read(in_name_of: In, keys: list[WorkKey]) -> None:
    ana = in_name_of("ana", "reader")
    with pytest.raises(ConfigError, match="at most 2000 letters"):
        ana.say(keys[0], FIRST, "glioma", "x" * 2001)
    assert ana.draft(keys[0]) == ReadDraft()


def test_what_is_decided_is_read_blind_by_nobody_any_more(
    in_name_of: In, keys: list[WorkKey]
) -> None:
    ana, ben = in_name_of("ana", "reader"), in_name_of("ben", "reader")
    for step in (FIRST, FINAL):
        ana.say(keys[0], step, "glioma")
    with pytest.raises(ConfigError, match="ana decided this one meanwhile"):
        ben.say(keys[0], FIRST, "glioma")


def test_a_viewer_neither_asks_nor_reads_nor_decides(in_name_of: In, keys: list[WorkKey]) -> None:
    vic = in_name_of("vic", "viewer")
    for refused in (
        lambda: vic.ask([b""], "brain"),
        lambda: vic.explain(b"", "brain"),
        lambda: vic.similar(b"", "brain"),
        lambda: vic.picture(b""),
        lambda: vic.work("brain"),
        lambda: vic.open_item(keys[0]),
        lambda: vic.say(keys[0], FIRST, "glioma"),
        lambda: vic.note(keys[0], "x"),
        lambda: vic.take_incident("x"),
        lambda: vic.approve("brain", "2", "because"),
        lambda: vic.roll_back("brain", "1", "because"),
    ):
        with pytest.raises(DeniedError, match="vic is a viewer"):
            refused()


def test_a_reader_does_not_decide_what_serves(in_name_of: In, release: Release) -> None:
    ana = in_name_of("ana", "reader")
    with pytest.raises(DeniedError, match="needs the role approver"):
        ana.approve("brain", "2", "because")
    with pytest.raises(DeniedError, match="needs the role approver"):
        ana.roll_back("brain", "1", "because")


def test_nothing_is_shown_before_the_own_first_read(in_name_of: In, keys: list[WorkKey]) -> None:
    ana, ben = in_name_of("ana", "reader"), in_name_of("ben", "reader")
    ben.say(keys[0], FIRST, "notumor")
    with pytest.raises(DeniedError, match="once your own first read is stored"):
        ana.shown(_reading(ana, keys[0]))
    ana.say(keys[0], FIRST, "glioma")
    shown = ana.shown(_reading(ana, keys[0]))
    assert shown.label in ("glioma", "pituitary")
    assert shown.version == "1"
    assert shown.prediction is not None
    assert shown.prediction["probabilities"]["glioma"] == 0.6


def test_a_read_says_what_was_shown_before_it(
    in_name_of: In,
    keys: list[WorkKey],
    lake: Lake,
) -> None:
    ana = in_name_of("ana", "reader")
    ana.say(keys[0], FIRST, "notumor")
    shown = ana.shown(_reading(ana, keys[0]))
    ana.say(keys[0], FINAL, "glioma", "an edge", shown)
    first, final = work_list.find(lake, keys[0]).reads
    assert (dict(first.shown), final.note) == ({}, "an edge")
    assert (final.shown["version"], final.shown["predicted"]) == ("1", "glioma")


def test_what_waits_is_what_the_person_has_not_read(in_name_of: In, keys: list[WorkKey]) -> None:
    ana = in_name_of("ana", "reader")
    ana.say(keys[0], FIRST, "glioma")
    assert _counts(ana) == (0, 3)
    ana.say(keys[0], FINAL, "glioma")
    assert [each.item.key for each in ana.work("brain").waiting] == keys[1:]
    assert _counts(ana) == (1, 2)


def test_what_another_has_before_them_comes_last(in_name_of: In, keys: list[WorkKey]) -> None:
    in_name_of("ana", "reader").open_item(keys[0])
    ben = in_name_of("ben", "reader")
    assert [each.item.key for each in ben.work("brain").waiting] == [*keys[1:], keys[0]]


def test_a_note_is_its_writers_alone(in_name_of: In, keys: list[WorkKey]) -> None:
    ana = in_name_of("ana", "reader")
    ana.note(keys[0], "left, at the edge")
    assert in_name_of("ana", "reader").draft(keys[0]).note == "left, at the edge"
    assert in_name_of("ben", "reader").draft(keys[0]).note == ""


def test_what_was_said_while_the_lake_was_away_is_stored_later(
    in_name_of: In,
    keys: list[WorkKey],
    lake: Lake,
    tmp_path: Path,
) -> None:
    ana = in_name_of("ana", "reader")
    place, elsewhere = Path(lake.uri), tmp_path / "elsewhere"
    place.rename(elsewhere)
    with pytest.raises(StorageError, match="is its disk mounted"):
        ana.say(keys[0], FIRST, "glioma", "seen")
    assert ana.draft(keys[0]) == ReadDraft(label="glioma", note="seen", step=FIRST)
    if place.exists():
        place.rename(tmp_path / "empty")
    elsewhere.rename(place)
    assert ana.store_drafts() == (1, [])
    assert work_list.find(lake, keys[0]).reads[0].label == "glioma"
    assert ana.draft(keys[0]) == ReadDraft(note="seen")


def test_a_label_that_left_the_problem_is_said_and_not_stored(
    in_name_of: In,
    keys: list[WorkKey],
    lake: Lake,
) -> None:
    ana = in_name_of("ana", "reader")
    with pytest.raises(ConfigError, match="'astrocytoma' is no label of brain any more"):
        ana.say(keys[0], FIRST, "astrocytoma", "a note")
    assert work_list.find(lake, keys[0]).reads == ()
    assert ana.draft(keys[0]) == ReadDraft(note="a note")
    with pytest.raises(UnknownNameError):
        ana.say(WorkKey("brain", "f" * 64), FIRST, "astrocytoma", "a note")
    assert ana.drafts.of("ana") == [keys[0]]


def test_a_dispute_is_settled_by_an_approver_who_is_not_one_of_the_readers(
    in_name_of: In,
    keys: list[WorkKey],
    lake: Lake,
    now: datetime,
) -> None:
    (sample,) = [s for s in releases.samples(lake, releases.find(lake, "brain"))][5:6]
    key = WorkKey("brain", sample.sample_id)
    work_list.add(lake, [item(key, now, readers=2)])
    ana, bob = in_name_of("ana", "reader"), in_name_of("bob", "approver")
    for who, label in ((ana, "glioma"), (bob, "pituitary")):
        who.say(key, FIRST, label)
        who.say(key, FINAL, label)
    assert key not in [each.item.key for each in bob.work("brain").waiting]
    eve = in_name_of("eve", "approver")
    assert key in [each.item.key for each in eve.work("brain").waiting]
    with pytest.raises(DeniedError):
        in_name_of("ben", "reader").say(key, ADJUDICATED, "glioma")
    eve.say(key, ADJUDICATED, "pituitary")
    decision = work_list.find(lake, key).decision
    assert decision is not None
    assert (decision.label, decision.who) == ("pituitary", "eve")


def test_a_reader_sees_the_own_agreement_and_an_approver_all(
    in_name_of: In, keys: list[WorkKey]
) -> None:
    for name in ("ana", "ben", "cay"):
        in_name_of(name, "reader").say(keys[0], FIRST, "glioma")
    pairs = [(each.first, each.second) for each in in_name_of("ana", "reader").agreements("brain")]
    assert pairs == [("ana", "ben"), ("ana", "cay")]
    assert len(in_name_of("bob", "approver").agreements("brain")) == 3


def test_an_incident_is_ended_by_its_owner_or_an_approver(
    in_name_of: In,
    lake: Lake,
    now: datetime,
) -> None:
    told = Report(
        problem="brain",
        sample_id="a" * 64,
        who="ana",
        reason="odd",
        version="1",
        package="f" * 64,
        prediction={},
    )
    name, _ = incidents.report(lake, told, now)
    other, _ = incidents.report(lake, replace(told, reason="odder"), now)
    ana, ben = in_name_of("ana", "reader"), in_name_of("ben", "reader")
    ana.take_incident(name)
    with pytest.raises(DeniedError):
        ben.end_incident(name, "nothing")
    ana.end_incident(name, "told the ward")
    in_name_of("bob", "approver").end_incident(other, "a test")
    ended = [(each.ended_by, each.outcome) for each in incidents.all_of(lake)]
    assert ended == [("ana", "told the ward"), ("bob", "a test")]


def test_a_release_is_filtered_by_label_split_and_digest(
    in_name_of: In,
    release: Release,
    lake: Lake,
) -> None:
    vic = in_name_of("vic", "viewer")
    samples = releases.samples(lake, release)
    rows, of = vic.browse("brain", release.name, Filter(label="glioma"))
    expected = [each.sample_id for each in samples if each.label == "glioma"]
    assert (rows["sample_id"].to_pylist(), of) == (expected, 6)
    one = samples[2]
    rows, _ = vic.browse("brain", release.name, Filter(beginning=one.sample_id[:10].upper()))
    assert rows["sample_id"].to_pylist() == [one.sample_id]
    rows, _ = vic.browse("brain", release.name, Filter(split=one.split))
    assert set(rows["split"].to_pylist()) == {one.split}


def test_the_page_of_an_image_tells_its_labels_reads_and_answers(
    in_name_of: In, keys: list[WorkKey]
) -> None:
    ana = in_name_of("ana", "reader")
    for step in (FIRST, FINAL):
        ana.say(keys[0], step, "notumor")
    told = ana.image("brain", keys[0].sha256[:12])
    assert told.sample_id == keys[0].sha256
    assert told.picture.startswith(b"\x89PNG")
    assert [row[:2] for row in told.labels][-1] == ("notumor", "ana")
    assert [row[:3] for row in told.reads] == [
        ("ana", FIRST, "notumor"),
        ("ana", FINAL, "notumor"),
    ]
    assert [row[0] for row in told.answers] == ["1"]
    with pytest.raises(UnknownNameError, match="no image begins"):
        ana.image("brain", "zzzz")


def test_what_a_person_is_to_read_blind_is_told_on_no_page(
    in_name_of: In, keys: list[WorkKey], release: Release
) -> None:
    ana, vic = in_name_of("ana", "reader"), in_name_of("vic", "viewer")
    waits = [key.sha256 for key in keys]
    with pytest.raises(DeniedError, match="waits for your own read"):
        ana.image("brain", waits[0])
    assert vic.image("brain", waits[0]).labels
    rows, _ = ana.browse("brain", release.name, Filter())
    labels = dict(zip(rows["sample_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    assert {labels[sample_id] for sample_id in waits} == {words.BROWSE_UNREAD}
    assert rows.num_rows == 6
    for wanted, only in (
        *((Filter(label=label), "") for label in ("glioma", "pituitary", "")),
        *((Filter(), only) for only in ("wrong", "twins", "suspects")),
    ):
        rows, _ = ana.browse("brain", release.name, wanted, only)
        assert not {*rows["sample_id"].to_pylist()} & {*waits}
    ana.say(keys[0], FIRST, "glioma")
    assert ana.image("brain", waits[0]).labels


def test_what_readers_have_not_decided_stands_on_no_page(
    in_name_of: In, keys: list[WorkKey]
) -> None:
    in_name_of("ana", "reader").say(keys[0], FIRST, "notumor")
    assert in_name_of("vic", "viewer").image("brain", keys[0].sha256).reads == []


def test_the_journal_is_searched_by_any_text(
    in_name_of: In,
    lake: Lake,
    release: Release,
    now: datetime,
) -> None:
    journal.record(lake, "look", "brain/1", {"problem": "brain", "who": "Ada"}, now)
    journal.record(lake, "claim", "brain/2", {"problem": "brain", "who": "ben"}, now)
    vic = in_name_of("vic", "viewer")
    assert [each.kind for each in vic.journal("ada")] == ["look"]
    assert [each.kind for each in vic.journal(kinds=["claim"])] == ["claim"]
    assert [each.number for each in vic.journal()] == [2, 1]


def test_what_waits_is_counted_on_the_first_page(
    in_name_of: In,
    keys: list[WorkKey],
    lake: Lake,
) -> None:
    body = {"problem": "brain", "verdict": "retrain", "cause": "c", "report": ""}
    journal.record(lake, "verdict", "c", body, datetime(2026, 11, 30, 6, tzinfo=UTC))
    found = in_name_of("ana", "reader").overview()
    assert (found.work, found.approvals, found.incidents) == (3, 0, 0)
    assert found.needs_a_look
    assert found.verdicts == [("brain: retrain, 2026-11-30 06:00", Path("-"))]
    assert in_name_of("vic", "viewer").overview().work is None


def verdict_on(lake: Lake, window: str = "w") -> str:
    body = {"problem": "brain", "window": window, "verdict": "retrain", "model": "3"}
    cause = f"brain/verdict/{window}/model-3/1"
    body |= {"reason": "r", "report": ""}
    assert verdict_log.record(lake, cause, body, datetime(2026, 11, 30, 6, tzinfo=UTC)) == cause
    return cause


def test_a_verdict_that_somebody_has_seen_needs_no_look(in_name_of: In, lake: Lake) -> None:
    cause, ana = verdict_on(lake), in_name_of("ana", "reader")
    assert ana.overview().needs_a_look
    judged.respond(ana, cause, ACKNOWLEDGE, "the new coil", "", None)
    assert not ana.overview().needs_a_look
    (found,) = judged.all_of(ana, "brain")
    assert [(each.said, each.who) for each in found.responses] == [(ACKNOWLEDGE, "ana")]


@pytest.mark.parametrize(("said", "outcome", "days"), [(OVERRULE, "look", None), (SNOOZE, "", 3.0)])
def test_only_an_approver_keeps_a_verdict_from_starting_something(
    in_name_of: In, lake: Lake, said: str, outcome: str, days: float | None
) -> None:
    cause, now = verdict_on(lake), datetime.now(UTC)
    with pytest.raises(DeniedError, match="approver"):
        judged.respond(in_name_of("ana", "reader"), cause, said, "why", outcome, days)
    assert [each.cause for each in verdict_log.wanting(lake, "brain", now)] == [cause]
    judged.respond(in_name_of("bob", "approver"), cause, said, "why", outcome, days)
    assert verdict_log.wanting(lake, "brain", now) == []
    with pytest.raises(UnknownNameError, match="there is no verdict brain/verdict/x"):
        judged.respond(in_name_of("bob", "approver"), "brain/verdict/x", said, "why", outcome, days)


def test_who_only_looks_says_nothing_of_a_verdict(in_name_of: In, lake: Lake) -> None:
    with pytest.raises(DeniedError, match="reader"):
        judged.respond(in_name_of("vic", "viewer"), verdict_on(lake), ACKNOWLEDGE, "seen", "", None)


def test_an_image_is_read_blind_also_while_the_service_is_away(
    in_name_of: In, keys: list[WorkKey], lake: Lake, now: datetime
) -> None:
    """A problem of a file of one's own is then named by nothing but its items."""
    gone = WorkKey("own", releases.samples(lake, releases.find(lake, "brain"))[5].sample_id)
    work_list.add(lake, [item(gone, now)])
    with pytest.raises(DeniedError, match="waits for your own read"):
        in_name_of("ana", "reader").image("brain", gone.sha256)
