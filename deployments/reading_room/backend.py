"""All that the pages ask for, in the name of the person signed in.

Answers come from the service, which is asked in that person's name; everything else from the
library. What a role may not do is refused here, whatever a page shows.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from deployments.reading_room import flow_runs, image_facts, release_rows, words
from deployments.reading_room.image_facts import ImageFacts
from deployments.reading_room.release_rows import Filter, ReleaseRows
from deployments.service.vetting import Vetting
from neuro.client import Answer, CaseAnswer, Client, Map
from neuro.errors import ConfigError, DeniedError, NeuroError
from neuro.images import preview
from neuro.images.sandbox import Rejected
from neuro.lake import images, incidents, journal, read_drafts, releases, work_list
from neuro.lake.incidents import Incident
from neuro.lake.journal import Entry
from neuro.lake.lake import Lake, quoted
from neuro.lake.read_drafts import ReadDraft, ReadDrafts
from neuro.lake.work_list import FINAL, FIRST, Read, Reading, WorkKey
from neuro.people import Person
from neuro.prediction import stored as predictions
from neuro.problems import problem as problems
from neuro.problems.problem import Problem
from neuro.promotion import approvals, serving
from neuro.reports import passport_text
from neuro.sample import NO_SPLIT, SPLITS
from tasks import work_list as steps
from tasks.work_list import Agreement

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

    token: by which the service is asked in people's names. opened: who has which image of the work
    list before them, and since when.
    """

    lake: Lake
    home: Path
    servers: Servers
    token: str
    vetting: Vetting
    opened: dict[WorkKey, tuple[str, datetime]] = field(default_factory=dict)
    rows: ReleaseRows = field(default_factory=ReleaseRows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """verdicts: the last one of each problem, a line each. work, approvals, incidents: waiting."""

    verdicts: Sequence[str]
    needs_a_look: bool
    work: int
    approvals: int
    incidents: int


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
    """In the name of one person."""

    def __init__(self, here: Installation, person: Person) -> None:
        self.here, self.person = here, person

    def require(self, role: str) -> None:
        """Raise DeniedError unless the person may do what a role may."""
        if not self.person.may(role):
            raise DeniedError(
                f"{self.person.name} is a {self.person.role}; this needs a {role}, as "
                f"`neuro users add NAME --role {role}` makes one"
            )

    # -- the service

    @cached_property
    def client(self) -> Client:
        """The service, asked in this person's name."""
        return Client(self.here.servers.service, self.here.token, person=self.person.name)

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
        """The nearest cases of the current release."""
        self.require("reader")
        found = self.client.similar(raw, n, problem, forget=True)
        pictures = self.small(problem, None, [case["sample_id"] for case in found])
        return [
            SimilarCase(
                **{name: case[name] for name in ("sample_id", "label", "split", "cosine")},
                picture=pictures.get(case["sample_id"], b""),
            )
            for case in found
        ]

    def picture(self, raw: bytes) -> bytes:
        """An upload as a browser can show it: clean, upright, a PNG or JPEG; b"" if refused."""
        self.require("reader")
        found = self.here.vetting.checked(raw)
        return b"" if isinstance(found, Rejected) else found.stored

    def report(self, raw: bytes, answer: Answer, what: str) -> None:
        """An incident in the journal, with the answer: who reports it wants it kept."""
        self.require("reader")
        self.client.predict(raw, problem=answer.problem)
        self.client.report(answer.sample_id, what, answer.problem)

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

    def work(self, problem: str) -> list[Reading]:
        """What waits for this person, in order; what another has before them comes last."""
        self.require("reader")
        waiting = [
            each
            for each in work_list.readings(self.here.lake, problem)
            if each.waits_for(self.person.name, adjudicates=self.may_adjudicate)
        ]
        return sorted(waiting, key=lambda each: self._is_with_another(each.item.key))

    def open_item(self, key: WorkKey) -> Reading:
        """An item that this person has before them now."""
        self.require("reader")
        self.here.opened[key] = (self.person.name, datetime.now(UTC))
        return work_list.find(self.here.lake, key)

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

    def say(self, key: WorkKey, step: str, label: str, note: str = "") -> Reading:
        """Store a read; it is on this machine's disk first, and stays there until the lake has it.

        Raises ConfigError for a label that the problem file does not have (any more).
        """
        self.require("approver" if step == work_list.ADJUDICATED else "reader")
        question = problems.load(key.problem)
        if label != work_list.CANNOT_TELL and not question.source_label(label):
            self.drafts.put(self.person.name, key, ReadDraft(note=note))
            raise ConfigError(
                f"{label!r} is no label of {key.problem} any more; those that are: "
                f"{', '.join(sorted(question.labels))}. Read the image again"
            )
        self.drafts.put(self.person.name, key, ReadDraft(label=label, note=note, step=step))
        reading = work_list.find(self.here.lake, key)
        shown = {} if step == FIRST else self.shown(reading).as_dict()
        read = Read(
            who=self.person.name,
            step=step,
            label=label,
            at=datetime.now(UTC),
            note=note,
            shown=shown,
        )
        reading = work_list.record(self.here.lake, key, read)
        left = ReadDraft(note=note) if step == FIRST else ReadDraft()
        self.drafts.put(self.person.name, key, left)
        return reading

    def store_drafts(self) -> int:
        """Store what was said while the lake was away; returns how many reads that were."""
        n = 0
        for key in self.drafts.of(self.person.name):
            draft = self.drafts.get(self.person.name, key)
            if draft.label is not None and draft.step:
                try:
                    self.say(key, draft.step, draft.label, draft.note)
                except ConfigError:  # it was said before, or cannot be said any more
                    self.drafts.put(self.person.name, key, ReadDraft(note=draft.note))
                else:
                    n += 1
        return n

    @property
    def drafts(self) -> ReadDrafts:
        """What readers have not stored yet; asked for by this person's name alone."""
        return ReadDrafts(folder=self.here.home / read_drafts.FOLDER)

    def draft(self, key: WorkKey) -> ReadDraft:
        """What this person has not stored yet of an item."""
        return self.drafts.get(self.person.name, key)

    def note(self, key: WorkKey, text: str) -> None:
        """Keep a note of this person that is not stored yet."""
        self.require("reader")
        draft = self.draft(key)
        self.drafts.put(
            self.person.name, key, ReadDraft(label=draft.label, note=text, step=draft.step)
        )

    def progress(self, problem: str) -> tuple[int, int]:
        """How many images this person has read to the end, and how many wait for them."""
        every = work_list.readings(self.here.lake, problem)
        who = self.person.name
        done = sum(each.by(who, FINAL) is not None for each in every)
        waiting = sum(each.waits_for(who, adjudicates=self.may_adjudicate) for each in every)
        return done, waiting

    def agreements(self, problem: str) -> list[Agreement]:
        """Kappa of each two readers; to a reader only with the own reads in it."""
        found = steps.agreements(self.here.lake, problems.load(problem))
        if self.person.may("approver"):
            return found
        return [each for each in found if self.person.name in (each.first, each.second)]

    # -- a release and its images

    def release_names(self, problem: str) -> list[str]:
        """Those that can be read, the newest first."""
        dataset = problems.load(problem).dataset
        every = releases.history(self.here.lake, dataset)
        return [each.name for each in every if not each.superseded_by][::-1]

    def splits(self) -> tuple[str, ...]:
        """Those that an image may lie in."""
        return (*SPLITS, NO_SPLIT)

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
        """All that is known of one image of the current release. Raises UnknownNameError."""
        return image_facts.of(self.here.lake, problems.load(problem), self.here.rows, sample_id)

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
        last: dict[str, Entry] = {}
        for entry in journal.entries(lake, "verdict"):
            last[entry.body["problem"]] = entry
        is_reader = self.person.may("reader")
        return Overview(
            verdicts=[
                f"{name}: {entry.body['verdict']}, {entry.at:%Y-%m-%d %H:%M}"
                for name, entry in sorted(last.items())
            ],
            needs_a_look=any(entry.body["verdict"] != "steady" for entry in last.values()),
            work=sum(len(self.work(name)) for name in names) if is_reader else 0,
            approvals=sum(len(self.waiting_for_approval(name)) for name in names),
            incidents=sum(each.is_open for each in incidents.all_of(lake)),
        )

    def runs(self) -> list[tuple[str, str]] | None:
        """Name and start of the flow runs under way; None where Prefect does not answer."""
        return flow_runs.running()

    def links(self) -> list[tuple[str, str]]:
        """Other pages of the installation."""
        servers = self.here.servers
        named = (("Prefect", servers.prefect.removesuffix("/api")), ("MLflow", servers.mlflow))
        return [(name, place) for name, place in named if place.startswith("http")]

    def curl(self, problem: str) -> str:
        """How a program asks."""
        return words.curl(self.here.servers.service, problem)

    def python(self, problem: str) -> str:
        """How Python asks."""
        return words.python(self.here.servers.service, problem)

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

    def end_incident(self, name: str, outcome: str) -> Incident:
        """End an incident; by its owner, or by an approver."""
        found = incidents.find(self.here.lake, name)
        self.require("reader" if found.owner == self.person.name else "approver")
        now = datetime.now(UTC)
        return incidents.close(self.here.lake, found.id, outcome, self.person.name, now)

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
        counted = [row for row in shown if row["run_id"] != "unreviewed"]
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
