"""All that is known of one image: for its page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from deployments.reading_room import words
from deployments.reading_room.release_rows import ReleaseRows
from neuro.errors import UnknownNameError
from neuro.images import preview
from neuro.lake import images, releases, requests, work_list
from neuro.lake.lake import Lake, quoted
from neuro.lake.releases import Release
from neuro.problems.problem import Problem

_MOST = 24  # others of its group

Rows = Sequence[tuple[object, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Another image of the group. picture: small, b"" where it is damaged."""

    sample_id: str
    label: str
    split: str
    picture: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """One image. facts: names and texts. labels, reads, answers: rows, the oldest first."""

    sample_id: str
    picture: bytes
    facts: Sequence[tuple[str, str]]
    labels: Rows
    reads: Rows
    answers: Rows
    group: Sequence[Member]


def of(lake: Lake, problem: Problem, kept: ReleaseRows, name: str) -> ImageFacts:
    """By its digest or the beginning of it. Raises UnknownNameError for none or several."""
    release = releases.find(lake, problem.dataset)
    rows = kept.table(lake, release)
    near = rows.filter(pc.starts_with(rows["sample_id"], name.strip().lower())).to_pylist()
    if len(near) != 1:
        what = "several images begin" if near else "no image begins"
        raise UnknownNameError(f"{what} with {name[:64]!r} in {release.name}; see Browse")
    row = near[0]
    sample_id = row["sample_id"]
    found = dict(images.undamaged(lake, release, [sample_id]))
    return ImageFacts(
        sample_id=sample_id,
        picture=found.get(sample_id, b""),
        facts=_facts(lake, problem, release, row),
        labels=_labels(lake, problem, sample_id),
        reads=_reads(lake, problem, sample_id),
        answers=_answers(lake, problem, sample_id),
        group=_group(lake, release, rows, row),
    )


def _facts(
    lake: Lake, problem: Problem, release: Release, row: dict[str, Any]
) -> list[tuple[str, str]]:
    where = f"dataset = {quoted(problem.dataset)} AND sha256 = {quoted(row['sample_id'])}"
    columns = ["source", "metadata", "run_id", "given_split", "is_synthetic"]
    sample = lake.read("samples", columns=columns, where=where).to_pylist()[0]
    stored = images.facts(lake, release, [row["sample_id"]]).get(row["sample_id"], {})
    told = [
        (words.FACT_DIGEST, row["sample_id"]),
        (words.FACT["label"], row["label"] or words.FACT_NONE),
        (words.FACT["class"], problem.class_of(row["label"]) or words.FACT_NONE),
        (words.FACT["split"], row["split"]),
        (words.FACT["given"], sample["given_split"] or words.FACT_NONE),
        (words.FACT["group"], row["group_id"]),
        (words.FACT["name"], row["source_name"]),
        (
            words.FACT["delivery"],
            words.FACT_DELIVERY.format(
                source=sample["source"] or words.FACT_UNKNOWN, run=sample["run_id"]
            ),
        ),
        (words.FACT["release"], release.name),
    ]
    if stored:
        size = f"{stored['width']} x {stored['height']}, {stored['mode']}, {stored['media_type']}"
        told.append((words.FACT["picture"], size))
    if sample["is_synthetic"]:
        told.append((words.FACT["synthetic"], words.FACT_DRAWN))
    known = json.loads(sample["metadata"] or "{}")
    return [*told, *((name, str(value)) for name, value in sorted(known.items()))]


def _labels(lake: Lake, problem: Problem, sample_id: str) -> Rows:
    where = f"dataset = {quoted(problem.dataset)} AND sha256 = {quoted(sample_id)}"
    rows = lake.read("labels", where=where).sort_by("sequence").to_pylist()
    return [
        (row["label"], row["who"], _minute(row["labelled_at"]), _yes(row["is_reviewed"]))
        for row in rows
    ]


def _reads(lake: Lake, problem: Problem, sample_id: str) -> Rows:
    """Only of what is decided: before that a read is its reader's own."""
    return [
        (read.who, read.step, read.label or words.WORK_CANNOT_TELL, read.note, _minute(read.at))
        for each in work_list.readings(lake, problem.name)
        if each.item.key.sha256 == sample_id and each.is_decided
        for read in each.reads
    ]


def _answers(lake: Lake, problem: Problem, sample_id: str) -> Rows:
    """Of batches and of the service, shadows marked."""
    where = f"dataset = {quoted(problem.dataset)} AND sha256 = {quoted(sample_id)}"
    batch = lake.read("predictions", where=f"{where} AND problem = {quoted(problem.name)}")
    told = [(row["predicted_at"], _answer(row, words.ANSWER_BY_BATCH)) for row in batch.to_pylist()]
    columns = ["at", "model_version", "decision", "predicted", "probabilities", "who", "is_shadow"]
    asked = lake.read(requests.TABLE, columns=columns, where=where).to_pylist()
    told += [
        (row["at"], _answer(row, words.answered_for(row["who"], is_shadow=row["is_shadow"])))
        for row in asked
        if row["decision"]
    ]
    return [row for _, row in sorted(told, key=lambda each: each[0])]


def _answer(row: dict[str, Any], by: str) -> tuple[object, ...]:
    at = row["predicted_at"] if "predicted_at" in row else row["at"]
    most = f"{max(row['probabilities']):.4f}" if row["probabilities"] else ""
    version = row["model_version"][:12]
    return (version, _minute(at), row["decision"], row["predicted"], most, by)


def _group(lake: Lake, release: Release, rows: pa.Table, row: dict[str, Any]) -> list[Member]:
    of_group = rows.filter(pc.equal(rows["group_id"], row["group_id"])).slice(0, _MOST + 1)
    others = [each for each in of_group.to_pylist() if each["sample_id"] != row["sample_id"]]
    wanted = [each["sample_id"] for each in others]
    pictures = dict(images.undamaged(lake, release, wanted)) if wanted else {}
    return [
        Member(
            **{name: each[name] for name in ("sample_id", "label", "split")},
            picture=preview.small(pictures[each["sample_id"]])
            if each["sample_id"] in pictures
            else b"",
        )
        for each in others
    ]


def _yes(is_so: bool) -> str:
    return words.FACT_YES if is_so else ""


def _minute(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
