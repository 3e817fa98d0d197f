"""All that the pages ask for, in the name of the person signed in.

Answers come from the service, which is asked in that person's name; everything else from the
library. What a role may not do is refused here, whatever a page shows.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from deployments.reading_room import flow_runs, image_facts, release_rows, words
from deployments.reading_room.image_facts import ImageFacts, Member
from deployments.reading_room.release_rows import Filter, ReleaseRows
from deployments.service.directory import Directory
from deployments.service.vetting import Vetting
from neuro.client import Answer, CaseAnswer, Client, Map
from neuro.errors import ConfigError, DeniedError, NeuroError, UnknownNameError
from neuro.images import preview
from neuro.images.sandbox import Rejected
from neuro.lake import images, incidents, journal, labels, read_drafts, releases, work_list
from neuro.lake.incidents import Incident
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake, quoted
from neuro.lake.read_drafts import ReadDraft, ReadDrafts
from neuro.lake.work_list import FINAL, FIRST, Read, Reading, WorkKey
from neuro.people import Person
from neuro.prediction import stored as predictions
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.promotion import approvals, serving, verdict_log
from neuro.reports import passport_text
from tasks import work_list as steps
from tasks.work_list import Agreement

_SHORTEST = 12  # characters of a digest by which a report names an image
_OPENED_S = 300.0  # how long an image that somebody has before them is left to them


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """Where a person watches runs, and where images are answered; "" for none."""

    service: str
    prefect: str = ""
    mlflow: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """What a reading room stands before; one for the process.

    token: by which the service is asked in people's names. clients: by whom. opened: who has which
    image of the work list before them, and since when.
    """

    lake: Lake
    home: Path
    servers: Servers
    token: str
    vetting: Vetting
    directory: Directory
    clients: dict[str, Client] = field(default_factory=dict)
    opened: dict[WorkKey, tuple[str, datetime]] = field(default_factory=dict)
    rows: ReleaseRows = field(default_factory=ReleaseRows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What was judged last, and what waits.

    verdicts: the last one of each problem, a line and the path of its report. work: images for this
    person, None for one who does not read. approvals, incidents: how many wait for anybody.
    """

    verdicts: Sequence[tuple[str, Path]]
    needs_a_look: bool
    work: int | None
    approvals: int
    incidents: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """waiting: what waits for a person, in order. done: how many they have read to the end."""

    waiting: Sequence[Reading]
    done: int

    @property
    def share(self) -> float:
        """Of their work that is done."""
        return self.done / max(1, self.done + len(self.waiting))


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilarCase:
    """A sample of a release that is alike. picture: small, b"" where it is damaged."""

    sample_id: str
    label: str
    split: str
    cosine: float
    picture: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a reader sees after the first read: the label of now, and what a version answers."""

    label: str
    version: str = ""
    prediction: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As it is kept with the final read."""
        said = self.prediction or {}
        return {"label": self.label, "version": self.version, "predicted": said.get("predicted")}


class Backend:
    """In the name of one person, with the role that this person has at each call."""

    def __init__(self, here: Installation, name: str) -> None:
        self.here, self.name = here, name

    @property
    def person(self) -> Person:
        """Who it is now. Raises DeniedError for a person who was removed."""
        found = self.here.directory.named(self.name)
        if found is None:
            raise DeniedError(f"{self.name} is not among the people any more")
        return found

    def require(self, role: str) -> None:
        """Raise DeniedError unless the person may do what a role may."""
        if not self.person.may(role):
            raise DeniedError(
                f"{self.person.name} is a {self.person.role}; this needs the role {role}, as "
                f"`neuro users add NAME --role {role}` gives it"
            )

    # -- the service

    @property
    def client(self) -> Client:
        """The service, asked in this person's name; its connections are kept."""
        known, name = self.here.clients, self.name
        if name not in known:
            known[name] = Client(self.here.servers.service, self.here.token, person=name)
        return known[name]

    def models(self) -> list[dict[str, Any]]:
        """What answers each problem. Raises ServerError where the service is away."""
        return self.client.models()

    def ask(
        self, raws: Sequence[bytes], problem: str, *, is_case: bool = False, keep: bool = False
    ) -> tuple[list[Answer], CaseAnswer | None]:
        """An answer to each image, and one to all of them where they are one case."""
        self.require("reader")
        if is_case:
            case, answers = self.client.predict_case(*raws, problem=problem, forget=not keep)
            return answers, case
        return self.client.predict(*raws, problem=problem, forget=not keep), None

    def explain(self, raw: bytes, problem: str) -> tuple[list[Map], str]:
        """Maps of an image, and how far to believe the first."""
        self.require("reader")
        return self.client.maps(raw, problem, forget=True)

    def similar(self, raw: bytes, problem: str, n: int = 6) -> list[SimilarCase]:
        """The nearest cases of the current release, but for those that this person is to read."""
        self.require("reader")
        hidden = self.unread(problems.load(problem))
        found = [
            case
            for case in self.client.similar(raw, n, problem, forget=True)
            if case["sample_id"] not in hidden
        ]
        pictures = self.small(problem, None, [case["sample_id"] for case in found])
        return [
            SimilarCase(
                **{name: case[name] for name in ("sample_id", "label", "split", "cosine")},
                picture=pictures.get(case["sample_id"], b""),
            )
            for case in found
        ]

    def copy_of(self, found: Sequence[SimilarCase], problem: str) -> SimilarCase | None:
        """The nearest case, where it is as like as twins are by the problem file; else None."""
        least = problems.load(problem).groups.twin_cosine
        return found[0] if found and found[0].cosine >= least else None

    def picture(self, raw: bytes) -> bytes:
        """An upload as a browser can show it: clean, upright, a PNG or JPEG; b"" if refused."""
        self.require("reader")
        found = self.here.vetting.checked(raw)
        return b"" if isinstance(found, Rejected) else found.stored

    def report(self, raw: bytes, answer: Answer, what: str) -> bool:
        """An incident in the journal, with the answer: who reports it wants it kept.

        False where the person has said the same of it before. Raises ConfigError where another
        version answers by now.
        """
        self.require("reader")
        (again,) = self.client.predict(raw, problem=answer.problem)
        # Not by the numbers: in other company they are the same to a rounding, not to the bit.
        if (again.model_version, again.predicted) != (answer.model_version, answer.predicted):
            raise ConfigError(
                f"version {again.model_version} answers by now, and not what you see; drop the "
                "image again, then report it"
            )
        return self.client.report(answer.sample_id, what, answer.problem)

    def give_label(self, raw: bytes, answer: Answer, label: str) -> bool:
        """Say what an image is; it waits for readers. False where it was said before."""
        self.require("reader")
        self.client.predict(raw, problem=answer.problem)
        return self.client.label(answer.sample_id, label, answer.problem)

    # -- the work list

    @property
    def may_adjudicate(self) -> bool:
        """Whether this person settles what readers dispute."""
        return self.person.may("approver")

    def work(self, problem: str) -> Work:
        """What waits for this person, in order; what another has before them comes last."""
        self.require("reader")
        every = work_list.readings(self.here.lake, problem)
        adjudicates = self.may_adjudicate
        waiting = [each for each in every if each.waits_for(self.name, adjudicates=adjudicates)]
        waiting.sort(key=lambda each: self._is_with_another(each.item.key))
        done = sum(each.by(self.name, FINAL) is not None for each in every)
        return Work(waiting=waiting, done=done)

    def open_item(self, key: WorkKey) -> None:
        """This person has an item before them now: others get it last."""
        self.require("reader")
        now, opened = datetime.now(UTC), self.here.opened
        opened[key] = (self.name, now)
        for other, (_, at) in list(opened.items()):
            if (now - at).total_seconds() > _OPENED_S:
                opened.pop(other, None)

    def sample_picture(self, problem: str, sample_id: str) -> bytes:
        """A picture of the current release as it is stored; b"" where it is damaged or gone."""
        release = releases.find(self.here.lake, problems.load(problem).dataset)
        found = dict(images.undamaged(self.here.lake, release, [sample_id]))
        return found.get(sample_id, b"")

    def shown(self, reading: Reading) -> Shown:
        """What is behind a first read. Raises DeniedError before this person's own is stored."""
        self.require("reader")
        who, key = self.person.name, reading.item.key
        may_see = reading.by(who, FIRST) or (reading.is_disputed and self.may_adjudicate)
        if not may_see and not reading.is_decided:
            raise DeniedError("the answer is shown once your own first read is stored")
        label = self._label(reading.item.dataset, key.sha256)
        version = self.serving_version(key.problem)
        said = self._stored_answer(key.problem, key.sha256, version) if version else None
        return Shown(label=label, version=version, prediction=said)

    def say(
        self, key: WorkKey, step: str, label: str, note: str = "", shown: Shown | None = None
    ) -> Reading:
        """Store a read; it is on this machine's disk first, and stays there until the lake has it.

        shown: what was on the screen. Raises ConfigError for a label that the problem file does
        not have (any more), UnknownNameError for an item that is gone: then nothing is kept.
        """
        self.require("approver" if step == work_list.ADJUDICATED else "reader")
        work_list.require_short(note)
        question = problems.load(key.problem)
        if label != work_list.CANNOT_TELL and not question.source_label(label):
            self.drafts.drop(self.name, key)
            self.note(key, note)  # unless the item is gone
            raise ConfigError(
                f"{label!r} is no label of {key.problem} any more; those that are: "
                f"{', '.join(sorted(question.labels))}. Read the image again"
            )
        self.drafts.put(self.person.name, key, ReadDraft(label=label, note=note, step=step))
        read = Read(
            who=self.person.name,
            step=step,
            label=label,
            at=datetime.now(UTC),
            note=note,
            shown=shown.as_dict() if shown else {},
        )
        try:
            reading = work_list.record(self.here.lake, key, read)
        except UnknownNameError:  # erased, perhaps: nothing of it may stay
            self.drafts.drop(self.person.name, key)
            raise
        left = ReadDraft(note=note) if step == FIRST else ReadDraft()
        self.drafts.put(self.person.name, key, left)
        return reading

    def store_drafts(self) -> tuple[int, list[str]]:
        """Store what was said while the lake was away: how many reads, and why others were not.

        Of what cannot be stored any more the note stays.
        """
        n, troubles = 0, []
        for key in self.drafts.of(self.name):
            draft = self.drafts.get(self.name, key)
            if draft.label is None or not draft.step:
                continue
            try:
                self.say(key, draft.step, draft.label, draft.note)
            except UnknownNameError as error:
                troubles.append(str(error))
            except NeuroError as error:
                self.drafts.put(self.name, key, ReadDraft(note=draft.note))
                troubles.append(str(error))
            else:
                n += 1
        return n, troubles

    @property
    def drafts(self) -> ReadDrafts:
        """What readers have not stored yet; asked for by this person's name alone."""
        return ReadDrafts(folder=self.here.home / read_drafts.FOLDER)

    def draft(self, key: WorkKey) -> ReadDraft:
        """What this person has not stored yet of an item."""
        return self.drafts.get(self.person.name, key)

    def note(self, key: WorkKey, text: str) -> None:
        """Keep a note of this person that is not stored yet.

        Raises UnknownNameError for an item that is gone, ConfigError for a note that is too long.
        """
        self.require("reader")
        work_list.require_short(text)
        try:
            work_list.find(self.here.lake, key)
        except UnknownNameError:
            self.drafts.drop(self.name, key)
            raise
        draft = self.draft(key)
        self.drafts.put(
            self.person.name, key, ReadDraft(label=draft.label, note=text, step=draft.step)
        )

    def may_open(self, page: bytes) -> bool:
        """Whether a report names no image that this person is to read blind."""
        hidden = set().union(*(self.unread(each) for each in self.problems()))
        return not any(sample_id[:_SHORTEST].encode() in page for sample_id in hidden)

    def agreements(self, problem: str) -> list[Agreement]:
        """Kappa of each two readers; to a reader only with the own reads in it."""
        question = problems.load(problem)
        release = releases.find(self.here.lake, question.dataset)
        rows = self.here.rows.table(self.here.lake, release)
        groups = dict(zip(rows["sample_id"].to_pylist(), rows["group_id"].to_pylist(), strict=True))
        found = steps.agreements(self.here.lake, question, groups)
        if self.person.may("approver"):
            return found
        return [each for each in found if self.person.name in (each.first, each.second)]

    # -- a release and its images

    def release_names(self, problem: str) -> list[str]:
        """Those that can be read, the newest first."""
        dataset = problems.load(problem).dataset
        every = releases.history(self.here.lake, dataset)
        return [each.name for each in every if not each.superseded_by][::-1]

    def labels_of(self, problem: str) -> list[str]:
        """The source labels of a problem, in the order of its file."""
        return list(problems.load(problem).labels)

    def has_case_rule(self, problem: str) -> bool:
        """Whether images of one patient or lesion have one answer."""
        return bool(problems.load(problem).cases.rule)

    def browse(
        self, problem: str, name: str, wanted: Filter, only: str = ""
    ) -> tuple[pa.Table, int]:
        """Rows of a release that are wanted, and how many it has.

        only: "suspects", "wrong" (answered otherwise by what serves) or "twins" (of a group with
        others).
        """
        question = problems.load(problem)
        release = releases.find(self.here.lake, question.dataset, name)
        rows = self.here.rows.table(self.here.lake, release)
        if hidden := self.unread(question):
            said = "" if wanted.label is not None or only else words.BROWSE_UNREAD
            rows = release_rows.hiding(rows, hidden, said)
        chosen: Collection[str] | None = None
        if only == "suspects":
            chosen = passport_text.suspect_ids(release.passport)
        elif only == "twins":
            chosen = release_rows.in_groups_of_several(rows)
        elif only == "wrong":
            chosen = self._answered_otherwise(question, rows)
        return release_rows.chosen(rows, wanted, chosen), rows.num_rows

    def small(self, problem: str, name: str | None, sample_ids: Sequence[str]) -> dict[str, bytes]:
        """Small pictures of a release, None for the current one; none where it is damaged."""
        release = releases.find(self.here.lake, problems.load(problem).dataset, name)
        found = images.undamaged(self.here.lake, release, sample_ids)
        return {sample_id: preview.small(stored) for sample_id, stored in found}

    def image(self, problem: str, sample_id: str) -> ImageFacts:
        """All that is known of one image of the current release, unless this person is to read it.

        Raises UnknownNameError for none, DeniedError before the own first read.
        """
        question = problems.load(problem)
        told = image_facts.of(self.here.lake, question, self.here.rows, sample_id)
        hidden = self.unread(question)
        if told.sample_id in hidden:
            raise DeniedError("this image waits for your own read: the Work list has it")
        return replace(told, group=[_without_label(each, hidden) for each in told.group])

    def unread(self, question: Problem) -> set[str]:
        """What this person is to read blind and has not: by any problem of the same dataset."""
        if not self.person.may("reader"):
            return set()
        lake, who = self.here.lake, self.name
        return {
            each.item.key.sha256
            for problem in work_list.problems_of(lake, question.dataset)
            for each in work_list.readings(lake, problem)
            if each.waits_for(who, adjudicates=False) and each.by(who, FIRST) is None
        }

    def _answered_otherwise(self, question: Problem, rows: pa.Table) -> set[str]:
        version = self.serving_version(question.name)
        said = predictions.rows(self.here.lake, question, version, ["sha256", "predicted"])
        called = dict(zip(said["sha256"].to_pylist(), said["predicted"].to_pylist(), strict=True))
        pairs = zip(rows["sample_id"].to_pylist(), rows["label"].to_pylist(), strict=True)
        return {
            sample_id
            for sample_id, label in pairs
            if label and sample_id in called and called[sample_id] != question.class_of(label)
        }

    # -- the first page

    def overview(self) -> Overview:
        """What was judged last, and what waits."""
        lake = self.here.lake
        names = [each.name for each in self.problems()]
        every = [verdict_log.all_of(lake, name) for name in names]
        last = {found[-1].problem: found[-1] for found in every if found}
        is_reader = self.person.may("reader")
        return Overview(
            verdicts=[
                (
                    f"{name}: {judged.outcome}, {judged.at:%Y-%m-%d %H:%M}",
                    judged.report,
                )
                for name, judged in sorted(last.items())
            ],
            needs_a_look=any(
                judged.outcome != "steady" and not judged.responses for judged in last.values()
            ),
            work=sum(len(self.work(name).waiting) for name in names) if is_reader else None,
            approvals=sum(len(self.waiting_for_approval(name)) for name in names),
            incidents=sum(each.is_open for each in incidents.all_of(lake)),
        )

    def links(self) -> list[tuple[str, str]]:
        """Other pages of the installation."""
        servers = self.here.servers
        named = (("Prefect", servers.prefect.removesuffix("/api")), ("MLflow", servers.mlflow))
        return [(name, place) for name, place in named if place.startswith("http")]

    # -- decisions

    def approve(self, problem: str, version: str, reason: str) -> str:
        """Let a candidate serve; returns what came of it. Raises ServerError where it fails."""
        self.require("approver")
        given = {"problem": problem, "version": version, "reason": reason, "who": self.person.name}
        flow_runs.run("approve", given)
        if self.serving_version(problem) == version:
            return words.JUDGE_DONE.format(version=version, problem=problem)
        return words.JUDGE_WRITTEN

    def roll_back(self, problem: str, version: str, reason: str) -> str:
        """Let an earlier version serve again; likewise."""
        self.require("approver")
        given = {"problem": problem, "version": version, "reason": reason, "who": self.person.name}
        flow_runs.run("rollback", given)
        now = self.serving_version(problem)
        return words.JUDGE_DONE.format(version=now, problem=problem)

    def earlier_versions(self, problem: str) -> list[str]:
        """Those that served and do not now, the last first."""
        changed = serving.changes(self.here.lake, problem)
        now = changed[-1].version if changed else ""
        served = dict.fromkeys(each.version for each in reversed(changed))
        return [version for version in served if version != now]

    def serving_version(self, problem: str) -> str:
        """The version that serves by the journal, "" for none."""
        changed = serving.changes(self.here.lake, problem)
        return changed[-1].version if changed else ""

    def waiting_for_approval(self, problem: str) -> dict[str, Entry]:
        """Candidates by version, with the decision by which each waits."""
        return approvals.waiting(self.here.lake, problem)

    def journal(self, text: str = "", kinds: Sequence[str] = ()) -> list[Entry]:
        """Lines of these kinds, all for none, that hold a text anywhere; the newest first."""
        found = journal.entries(self.here.lake, *kinds)[::-1]
        wanted = text.strip().lower()
        return [each for each in found if wanted in f"{each.key} {json.dumps(each.body)}".lower()]

    # -- incidents

    def incidents(self) -> list[Incident]:
        """All of them, the newest first."""
        return incidents.all_of(self.here.lake)[::-1]

    def take_incident(self, name: str) -> None:
        """Look after an incident from now on."""
        self.require("reader")
        who = self.person.name
        incidents.assign(self.here.lake, name, who, who, datetime.now(UTC))

    def end_incident(self, name: str, outcome: str) -> None:
        """End an incident; by its owner, or by an approver."""
        found = incidents.find(self.here.lake, name)
        self.require("reader" if found.owner == self.person.name else "approver")
        now = datetime.now(UTC)
        incidents.close(self.here.lake, found.id, outcome, self.name, now)

    # -- what the pages above share

    def problems(self) -> list[Problem]:
        """Those that are served and those whose dataset has a release, by name."""
        names = set(problems.builtin_names())
        with suppress(NeuroError):  # the service is away, which pages say where it matters
            names |= {model["problem"] for model in self.models()}
        rows = self.here.lake.read("releases", columns=["dataset"])
        with_release = set(rows["dataset"].to_pylist())
        found = []
        for name in sorted(names):
            with suppress(NeuroError):  # a file that is not in this folder
                question = problems.load(name)
                if question.dataset in with_release:
                    found.append(question)
        return found

    def _is_with_another(self, key: WorkKey) -> bool:
        who, at = self.here.opened.get(key, ("", datetime.min.replace(tzinfo=UTC)))
        is_now = (datetime.now(UTC) - at).total_seconds() < _OPENED_S
        return is_now and who != self.person.name

    def _label(self, dataset: str, sample_id: str) -> str:
        """The newest label that counts, "" for none."""
        release = releases.find(self.here.lake, dataset)
        where = f"dataset = {quoted(dataset)} AND sha256 = {quoted(sample_id)}"
        rows = self.here.lake.read("labels", where=where)
        shown = release.left_out.shown_labels(rows).sort_by("sequence").to_pylist()
        counted = [row for row in shown if row["run_id"] != labels.UNREVIEWED]
        return str(counted[-1]["label"]) if counted else ""

    def _stored_answer(
        self, problem: str, sample_id: str, version: str
    ) -> Mapping[str, Any] | None:
        """What a version has answered about a sample, probabilities by class."""
        question = problems.load(problem)
        where = (
            f"dataset = {quoted(question.dataset)} AND problem = {quoted(problem)} "
            f"AND model_version = {quoted(version)} AND sha256 = {quoted(sample_id)}"
        )
        rows = self.here.lake.read(predictions.TABLE, where=where).to_pylist()
        if not rows:
            return None
        row = dict(rows[0])
        row["probabilities"] = dict(zip(question.classes, row["probabilities"], strict=True))
        return row


def _without_label(member: Member, hidden: Collection[str]) -> Member:
    return replace(member, label=words.BROWSE_UNREAD) if member.sample_id in hidden else member
