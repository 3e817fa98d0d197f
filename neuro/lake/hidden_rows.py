"""Which rows of the pinned tables a release holds: all, except those of the runs it leaves out."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

LabelKey = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Rows that lie in the pinned tables and are no part of the release.

    Tables only grow, so a restored release must say what came after it. runs: whose rows are left
    out. samples, labels: rows of these runs that are held all the same, by sample_id and by
    (sample_id, sequence).
    """

    runs: frozenset[str] = frozenset()
    samples: frozenset[str] = frozenset()
    labels: frozenset[LabelKey] = frozenset()

    def shown_samples(self, rows: pa.Table) -> pa.Table:
        """The rows of samples that the release holds; needs sha256 and run_id."""
        return self._shown(rows, self.samples, ["sha256"])

    def shown_labels(self, rows: pa.Table) -> pa.Table:
        """The rows of labels that the release holds; needs sha256, sequence and run_id."""
        return self._shown(rows, self.labels, ["sha256", "sequence"])

    def _shown(self, rows: pa.Table, held: Collection[object], key: list[str]) -> pa.Table:
        """Rows of other runs, and then those of the runs left out that are held all the same."""
        if not self.runs:
            return rows
        is_hidden = pc.is_in(rows["run_id"], pa.array(self.runs, pa.string()))
        shown, others = rows.filter(pc.invert(is_hidden)), rows.filter(is_hidden)
        names = zip(*(others[name].to_pylist() for name in key), strict=True)
        is_held = [(name if len(key) > 1 else name[0]) in held for name in names]
        return pa.concat_tables([shown, others.filter(pa.array(is_held, pa.bool_()))])

    def hiding(self, runs: Iterable[str]) -> "LeftOut":
        """The same, without the rows of these runs too."""
        return LeftOut(runs=self.runs | set(runs), samples=self.samples, labels=self.labels)

    def showing(self, run: str, samples: Iterable[str] = ()) -> "LeftOut":
        """The same, with every row of a run and with these samples."""
        if not (runs := self.runs - {run}):
            return LeftOut()
        return LeftOut(runs=runs, samples=self.samples | set(samples), labels=self.labels)

    def without(self, sample_ids: Collection[str]) -> "LeftOut":
        """The same, naming none of these samples."""
        return LeftOut(
            runs=self.runs,
            samples=self.samples - set(sample_ids),
            labels=frozenset(key for key in self.labels if key[0] not in sample_ids),
        )

    def to_json(self) -> str:
        """Text that from_json reads; "" where nothing is left out."""
        if not self.runs:
            return ""
        facts = {"runs": self.runs, "samples": self.samples, "labels": self.labels}
        return json.dumps({name: sorted(values) for name, values in facts.items()})


def from_json(text: str | None) -> LeftOut:
    """What to_json wrote."""
    if not text:
        return LeftOut()
    facts = json.loads(text)
    return LeftOut(
        runs=frozenset(facts["runs"]),
        samples=frozenset(facts["samples"]),
        labels=frozenset((sample_id, sequence) for sample_id, sequence in facts["labels"]),
    )


def all_but(
    samples: Iterable[Mapping[str, Any]],
    labels: Iterable[Mapping[str, Any]],
    held_samples: Collection[str],
    held_labels: Collection[LabelKey],
) -> LeftOut:
    """What to leave out of these rows so that exactly the held ones remain."""
    kept_samples: dict[str, set[str]] = defaultdict(set)
    kept_labels: dict[str, set[LabelKey]] = defaultdict(set)
    runs: set[str] = set()
    for row in samples:
        if row["sha256"] in held_samples:
            kept_samples[row["run_id"]].add(row["sha256"])
        else:
            runs.add(row["run_id"])
    for row in labels:
        key = (row["sha256"], row["sequence"])
        if key in held_labels:
            kept_labels[row["run_id"]].add(key)
        else:
            runs.add(row["run_id"])
    return LeftOut(
        runs=frozenset(runs),
        samples=frozenset().union(*(kept_samples[run] for run in runs)),
        labels=frozenset().union(*(kept_labels[run] for run in runs)),
    )
