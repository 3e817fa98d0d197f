"""Labels: append-only rows, of which the newest counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from neuro.lake import content_hash
from neuro.lake.hidden_rows import LeftOut
from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """A source label, who gave it (a person or "source") and when."""

    label: str
    who: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLabels:
    """Labels that one run brings, by sample_id."""

    dataset: str
    labels: Mapping[str, Annotation]
    run_id: str
    is_reviewed: bool = False


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
