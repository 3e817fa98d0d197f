"""Which rows of the pinned tables are no part of a release.

Tables only grow, so a restored release must say what came after it, and a half written run must not
show. Both are said by run: a row says which run wrote it.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

LabelKey = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Runs whose rows are left out, and the rows of these runs that are kept all the same.

    kept_samples: by sample_id. kept_labels: by (sample_id, sequence).
    """

    runs: frozenset[str] = frozenset()
    kept_samples: frozenset[str] = frozenset()
    kept_labels: frozenset[LabelKey] = frozenset()

    def shown_samples(self, rows: pa.Table) -> pa.Table:
        """The rows of samples that the release holds; needs sha256 and run_id."""
        return self._shown(rows, ["sha256"], {(sample_id,) for sample_id in self.kept_samples})

    def shown_labels(self, rows: pa.Table) -> pa.Table:
        """The rows of labels that the release holds; needs sha256, sequence and run_id."""
        return self._shown(rows, ["sha256", "sequence"], self.kept_labels)

    def _shown(self, rows: pa.Table, key: list[str], kept: Collection[Any]) -> pa.Table:
        """All rows but those of the runs that are left out, unless their key is kept."""
        if not self.runs:
            return rows
        is_hidden = pc.is_in(rows["run_id"], pa.array(self.runs, pa.string()))
        hidden = rows.filter(is_hidden)
        keys = zip(*(hidden[name].to_pylist() for name in key), strict=True)
        is_kept = pa.array([one in kept for one in keys], pa.bool_())
        return pa.concat_tables([rows.filter(pc.invert(is_hidden)), hidden.filter(is_kept)])

    def hiding(self, runs: Iterable[str]) -> "LeftOut":
        """The same, without the rows of these runs too."""
        return replace(self, runs=self.runs | set(runs))

    def showing(self, run: str, samples: Iterable[str] = ()) -> "LeftOut":
        """The same, with every row of a run and with these samples."""
        if not (runs := self.runs - {run}):
            return LeftOut()
        return replace(self, runs=runs, kept_samples=self.kept_samples | set(samples))

    def without(self, sample_ids: Collection[str]) -> "LeftOut":
        """The same, naming none of these samples."""
        return LeftOut(
            runs=self.runs,
            kept_samples=self.kept_samples - set(sample_ids),
            kept_labels=frozenset(key for key in self.kept_labels if key[0] not in sample_ids),
        )

    def to_json(self) -> str:
        """Text that from_json reads; "" where nothing is left out."""
        if not self.runs:
            return ""
        facts = {"runs": self.runs, "samples": self.kept_samples, "labels": self.kept_labels}
        return json.dumps({name: sorted(values) for name, values in facts.items()})


def from_json(text: str | None) -> LeftOut:
    """What to_json wrote."""
    if not text:
        return LeftOut()
    facts = json.loads(text)
    return LeftOut(
        runs=frozenset(facts["runs"]),
        kept_samples=frozenset(facts["samples"]),
        kept_labels=frozenset((sample_id, sequence) for sample_id, sequence in facts["labels"]),
    )


def all_but(
    samples: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    shown_samples: Collection[str],
    shown_labels: Collection[LabelKey],
) -> LeftOut:
    """What to leave out of these rows so that exactly those shown remain.

    A run is left out as soon as one of its rows is not shown; its other rows are kept by name.
    """
    run_of_sample = [(row["sha256"], row["run_id"]) for row in samples]
    run_of_label = [((row["sha256"], row["sequence"]), row["run_id"]) for row in labels]
    runs = {run for sample_id, run in run_of_sample if sample_id not in shown_samples}
    runs |= {run for key, run in run_of_label if key not in shown_labels}
    return LeftOut(
        runs=frozenset(runs),
        kept_samples=frozenset(
            name for name, run in run_of_sample if run in runs and name in shown_samples
        ),
        kept_labels=frozenset(
            key for key, run in run_of_label if run in runs and key in shown_labels
        ),
    )
