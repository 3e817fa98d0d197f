"""Labels: append-only rows, of which the newest counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from neuro.lake import content_hash, marks
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
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
    where = f"dataset = {quoted(dataset)} AND sha256 = {quoted(sample_id)}"
    while True:
        rows = lake.read("labels", where=where).to_pylist()
        said = [row for row in rows if row["run_id"] == UNREVIEWED and row["who"] == given.who]
        if said and max(said, key=lambda row: int(row["sequence"]))["label"] == given.label:
            return False
        row = {
            "dataset": dataset,
            "sha256": sample_id,
            "sequence": max((row["sequence"] for row in rows), default=-1) + 1,
            "label": given.label,
            "who": given.who,
            "labelled_at": given.at,
            "is_reviewed": False,
            "run_id": UNREVIEWED,
        }
        if lake.add("labels", pa.Table.from_pylist([row], SCHEMAS["labels"])):
            return True  # else another row took the number


def waiting(lake: Lake, dataset: str) -> list[dict[str, Any]]:
    """Labels that wait for a review, oldest first: sha256, label, who, labelled_at.

    One whose image has got another label since, as from a review, waits no more.
    """
    rows = lake.read("labels", where=f"dataset = {quoted(dataset)}").to_pylist()
    newest = {
        row["sha256"]: row["sequence"]
        for row in sorted(rows, key=lambda row: int(row["sequence"]))
        if row["run_id"] != UNREVIEWED
    }
    kept = ("sha256", "label", "who", "labelled_at")
    found = [
        {name: row[name] for name in kept}
        for row in rows
        if row["run_id"] == UNREVIEWED and row["sequence"] > newest.get(row["sha256"], -1)
    ]
    return sorted(found, key=lambda row: row["labelled_at"])


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
