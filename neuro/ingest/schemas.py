"""What a delivery's manifest and a branch's tables must look like; failures are counted.

Pandera's errors quote the rows they refuse. Here only the names of broken checks and the numbers of
rows leave: a metadata column holds a patient's age, a file name may hold a name.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from pandera.errors import SchemaErrors

from neuro.errors import AuditError, ManifestError
from neuro.ingest.delivery import Item
from neuro.problems.problem import Problem
from neuro.sample import NO_SPLIT, SPLITS

# Pandera sets this for Spark while it is imported; pyarrow then drops the offset of every time it
# is given, without a word (docs/traps.md). It is read at each call, so taking it back is enough.
os.environ.pop("PYARROW_IGNORE_TIMEZONE", None)

_DIGEST = r"^[0-9a-f]{64}$"
_GROUP = r"^([0-9a-f]{64})?$"  # the digest of an id, never the id
_NUMBER = "not a number"
_NO_GROUP, _NO_GROUP_AT_ALL = "group_key: missing", "group_key: none in the whole delivery"
_GIVEN = ["+".join(some) for n in range(1, 5) for some in combinations(SPLITS, n)]
_FEW_FILES = 20  # so few may happen to have no id
_REMEDY = (
    ". The group rule names a patient or lesion in none of the files: correct [groups] pattern or "
    "column in the problem file, or leave both out to group by twins alone"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestReport:
    """Files by broken check. ``refused`` stop the delivery; ``noted`` are only shown."""

    files: int
    refused: Mapping[str, int]
    noted: Mapping[str, int]

    def require(self) -> None:
        """Raise ManifestError if any check refuses the delivery."""
        if self.refused:
            raise ManifestError(
                f"the manifest of {self.files} files was refused, nothing was written. Files by "
                f"broken check: {_listed(self.refused)}. Correct the table or the folders, or the "
                f"problem file{_REMEDY if _NO_GROUP_AT_ALL in self.refused else ''}",
                self.refused,
            )


def check_manifest(items: Sequence[Item], problem: Problem) -> ManifestReport:
    """Check what is known of a delivery before any file is opened."""
    frame = pd.DataFrame(
        {
            "source_name": [item.source_name for item in items],
            "label": [item.label for item in items],
            "given_split": [item.given_split for item in items],
            "group_key": [item.group_key for item in items],
        },
        dtype="str",
    )
    metadata = [_parsed(item.metadata) for item in items]
    frame["metadata"] = pd.Series(["" if row is None else "{}" for row in metadata], dtype="str")
    columns = {
        "source_name": _column(pandera.Check.str_length(min_value=1)),
        "label": _column(pandera.Check.isin(["", *problem.labels])),
        "given_split": _column(pandera.Check.isin(["", *SPLITS])),
        "group_key": _column(pandera.Check.str_matches(_GROUP)),
        "metadata": _column(pandera.Check.isin(["{}"], name="a JSON object")),
    }
    broken: Counter[str] = Counter()
    for name, (low, high) in problem.layout.ranges.items():
        texts = pd.Series([str((row or {}).get(name, "")) for row in metadata], dtype="str")
        frame[name] = pd.to_numeric(texts, errors="coerce").astype("float64")
        columns[name] = pandera.Column(float, pandera.Check.in_range(low, high), nullable=True)
        if unread := int((frame[name].isna() & (texts != "")).sum()):
            broken[f"{name}: {_NUMBER}"] = unread
    missing = _missing_groups(items, problem)
    is_refused = problem.groups.required or _NO_GROUP_AT_ALL in missing
    if is_refused:
        broken.update(missing)
    return ManifestReport(
        files=len(items),
        refused=broken + _failures(frame, columns),
        noted={} if is_refused else missing,
    )


def tables(problem: Problem) -> dict[str, dict[str, pandera.Column]]:
    """What each table of a branch must look like, by column; those that hold bytes are left out."""
    side = pandera.Column("int32", pandera.Check.ge(1))
    digest = _column(pandera.Check.str_matches(_DIGEST))
    one_row_each = pandera.Column(str, pandera.Check.str_matches(_DIGEST), unique=True)
    dataset = _column(pandera.Check.eq(problem.dataset))
    return {
        "images": {
            "sha256": one_row_each,
            "stored_sha256": digest,
            "media_type": _column(pandera.Check.isin(["image/jpeg", "image/png"])),
            "width": side,
            "height": side,
        },
        "samples": {
            "dataset": dataset,
            "sha256": one_row_each,
            "group_id": digest,
            "group_key": _column(pandera.Check.str_matches(_GROUP)),
            "split": _column(pandera.Check.isin([*SPLITS, NO_SPLIT])),
            "given_split": _column(pandera.Check.isin(["", *_GIVEN])),
        },
        "labels": {
            "dataset": dataset,
            "sha256": one_row_each,
            "sequence": pandera.Column("int32", pandera.Check.ge(0)),
            "label": _column(pandera.Check.isin(list(problem.labels))),
            "who": _column(pandera.Check.str_length(min_value=1)),
        },
    }


def check_table(table: str, rows: pa.Table, columns: Mapping[str, pandera.Column]) -> None:
    """Check the rows that a run has written to a table of its branch.

    Raises AuditError with the number of rows by broken check.
    """
    if broken := _failures(rows.to_pandas(), columns):
        raise AuditError(
            f"rows of the branch break the schema of {table}: {_listed(broken)}; nothing was "
            "published. This is a fault of the ingestion or of the store, not of the files",
            broken,
        )


def _column(*checks: pandera.Check) -> pandera.Column:
    return pandera.Column(str, list(checks))


def _failures(frame: pd.DataFrame, columns: Mapping[str, pandera.Column]) -> Counter[str]:
    """Rows by broken check. Nothing of Pandera's error is kept: it holds the rows."""
    try:
        pandera.DataFrameSchema(dict(columns)).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        named = [str(c) for c in cases["column"]]
        checks = [str(check).split("(")[0] for check in cases["check"]]
        rows = {
            (f"{c}: {k}", str(r)) for c, k, r in zip(named, checks, cases["index"], strict=True)
        }
        return Counter(reason for reason, _ in rows)
    return Counter()


def _missing_groups(items: Sequence[Item], problem: Problem) -> dict[str, int]:
    """How many files have no id of a patient or lesion, though the problem has a rule for it.

    A rule that matches not one file of many is a wrong rule: it would leave patients in two splits.
    """
    if not (problem.groups.pattern or problem.groups.column):
        return {}
    asked = [item for item in items if not item.refused]
    missing = sum(not item.group_key for item in asked)
    is_wrong = missing == len(asked) >= _FEW_FILES
    return {_NO_GROUP_AT_ALL if is_wrong else _NO_GROUP: missing} if missing else {}


def _parsed(metadata: str) -> dict[str, object] | None:
    try:
        found = json.loads(metadata)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items()))
