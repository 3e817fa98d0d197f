"""Labels: append-only rows, of which the newest counts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from neuro.lake import content_hash, marks
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, among, quoted
from neuro.lake.table_schemas import SCHEMAS


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """A source label, who gave it (a person or "source") and when."""

    label: str
    who: str
    at: datetime


UNREVIEWED = "unreviewed"  # the run of labels that no person has reviewed: no release has them


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLabels:
    """Labels that one run brings, by sample_id."""

    dataset: str
    labels: Mapping[str, Annotation]
    run_id: str
    is_reviewed: bool = False


def add_unreviewed(lake: Lake, dataset: str, sample_id: str, given: Annotation) -> bool:
    """Append what somebody says of an image; False where the same stands there by the same person.

    It counts in no release until a person has reviewed it, which is a row of its own.
    """
    marks.put(lake, UNREVIEWED, "waits for a review")

    def is_said(rows: Sequence[Mapping[str, Any]]) -> bool:
        said = [row for row in rows if row["run_id"] == UNREVIEWED and row["who"] == given.who]
        return bool(said) and max(said, key=_sequence)["label"] == given.label

    new = NewLabels(dataset=dataset, labels={sample_id: given}, run_id=UNREVIEWED)
    return _append(lake, new, is_said)


def add_reviewed(lake: Lake, dataset: str, sample_id: str, given: Annotation, run_id: str) -> bool:
    """Append what readers have decided; False where this run's label stands there already.

    The next release has it. It is written where it is the same as before, too: that somebody has
    looked is a fact of its own. A label that was reviewed later stays the newest: then, too, False.
    """

    def is_said(rows: Sequence[Mapping[str, Any]]) -> bool:
        return any(
            row["run_id"] == run_id or (row["is_reviewed"] and row["labelled_at"] > given.at)
            for row in rows
        )

    labels = {sample_id: given}
    new = NewLabels(dataset=dataset, labels=labels, run_id=run_id, is_reviewed=True)
    return _append(lake, new, is_said)


def _append(
    lake: Lake, new: NewLabels, is_said: Callable[[Sequence[Mapping[str, Any]]], bool]
) -> bool:
    """Append one label under the next number of its image, unless its rows say it already."""
    ((sample_id, given),) = new.labels.items()
    where = f"dataset = {quoted(new.dataset)} AND sha256 = {quoted(sample_id)}"
    while True:
        rows = lake.read("labels", where=where).to_pylist()
        if is_said(rows):
            return False
        row = {
            "dataset": new.dataset,
            "sha256": sample_id,
            "sequence": max(map(_sequence, rows), default=-1) + 1,
            "label": given.label,
            "who": given.who,
            "labelled_at": given.at,
            "is_reviewed": new.is_reviewed,
            "run_id": new.run_id,
        }
        if lake.add("labels", pa.Table.from_pylist([row], SCHEMAS["labels"])):
            return True  # else another row took the number


def _sequence(row: Mapping[str, Any]) -> int:
    return int(row["sequence"])


def waiting(lake: Lake, dataset: str) -> list[dict[str, Any]]:
    """Labels that wait for a review, oldest first: sha256, label, who, labelled_at.

    One whose image has got another label since, as from a review, waits no more.
    """
    rows = lake.read("labels", where=f"dataset = {quoted(dataset)}").to_pylist()
    newest = {
        row["sha256"]: row["sequence"]
        for row in sorted(rows, key=_sequence)
        if row["run_id"] != UNREVIEWED
    }
    kept = ("sha256", "label", "who", "labelled_at")
    found = [
        {name: row[name] for name in kept}
        for row in rows
        if row["run_id"] == UNREVIEWED and row["sequence"] > newest.get(row["sha256"], -1)
    ]
    return sorted(found, key=lambda row: row["labelled_at"])


def newest(
    lake: Lake, dataset: str, sample_ids: Collection[str], left_out: LeftOut
) -> dict[str, str]:
    """The label of now of these images, by sample_id; those without one are missing.

    left_out: what a release made now would not have, such as a label that waits for a review.
    """
    if not sample_ids:
        return {}
    where = f"dataset = {quoted(dataset)} AND {among('sha256', sample_ids)}"
    rows = lake.read("labels", where=where)
    shown = content_hash.newest(left_out.shown_labels(rows))
    found = zip(shown["sha256"].to_pylist(), shown["label"].to_pylist(), strict=True)
    return {sample_id: label for sample_id, label in found if label}


def n_by_people(lake: Lake, dataset: str, since: datetime | None) -> int:
    """How many images have a label of a person, not of a source, dated after then, or ever."""
    where = f"dataset = {quoted(dataset)} AND who != 'source'"
    if since is not None:
        after = f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        where += f" AND labelled_at > timestamp {quoted(after)}"
    return len(set(lake.read("labels", columns=["sha256"], where=where)["sha256"].to_pylist()))


def hidden_runs(lake: Lake) -> set[str]:
    """The runs whose labels no release of any branch has."""
    return {UNREVIEWED} & marks.read(lake).keys()


def new_rows(lake: Lake, given: NewLabels, left_out: LeftOut | None = None) -> pa.Table:
    """The rows to append: the next sequence of each sample whose newest label differs.

    left_out: rows that count for nothing but their sequence number. A run that is repeated adds
    nothing, even if its label was superseded meanwhile.
    """
    hidden = left_out or LeftOut()
    columns = ["sha256", "sequence", "label", "run_id"]
    stored = lake.read("labels", columns=columns, where=f"dataset = {quoted(given.dataset)}")
    shown = content_hash.newest(hidden.shown_labels(stored))
    newest = dict(zip(shown["sha256"].to_pylist(), shown["label"].to_pylist(), strict=True))
    rows = stored.sort_by("sequence").to_pylist()
    last = {row["sha256"]: row["sequence"] for row in rows}
    done = {row["sha256"] for row in rows if row["run_id"] == given.run_id}
    return pa.Table.from_pylist(
        [
            {
                "dataset": given.dataset,
                "sha256": sample_id,
                "sequence": last.get(sample_id, -1) + 1,
                "label": new.label,
                "who": new.who,
                "labelled_at": new.at,
                "is_reviewed": given.is_reviewed,
                "run_id": given.run_id,
            }
            for sample_id, new in given.labels.items()
            if sample_id not in done and newest.get(sample_id) != new.label
        ],
        SCHEMAS["labels"],
    )
