"""Predictions in the lake: one row for each sample and model, and the table a person is given."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from neuro.lake.lake import Lake, quoted
from neuro.lake.table_schemas import SCHEMAS
from neuro.problems.problem import Problem
from neuro.sample import Prediction

TABLE = "predictions"
_SHOWN = ("predicted", "decision", "reason", "conformal_set", "ood_score", "model_version")


def sample_ids(lake: Lake, problem: Problem, model_version: str) -> NDArray[np.str_]:
    """Which samples a model has answered for a problem."""
    rows = lake.read(TABLE, columns=["sha256"], where=_where(problem, model_version))
    return np.array(rows["sha256"].to_pylist(), dtype=np.str_)


def add(
    lake: Lake,
    problem: Problem,
    predictions: Sequence[Prediction],
    windows: Sequence[str],
    now: datetime,
) -> None:
    """Store predictions; what is there already stays. windows: the release each sample entered."""
    about = {"dataset": problem.dataset, "problem": problem.name, "predicted_at": now}
    rows = []
    for prediction, window in zip(predictions, windows, strict=True):
        row = asdict(prediction)
        row["sha256"] = row.pop("sample_id")
        rows.append({**row, **about, "window": window})
    lake.add(TABLE, pa.Table.from_pylist(rows, SCHEMAS[TABLE]))


def table(
    lake: Lake, problem: Problem, model_version: str, source_names: Mapping[str, str]
) -> pa.Table:
    """The stored predictions of these samples, by digest: one column for each class.

    source_names: by sample_id, of the samples that are wanted.
    """
    stored = lake.read(TABLE, where=_where(problem, model_version)).sort_by("sha256")
    rows = [row for row in stored.to_pylist() if row["sha256"] in source_names]
    columns: dict[str, list[Any]] = {
        "sha256": [row["sha256"] for row in rows],
        "source_name": [source_names[row["sha256"]] for row in rows],
    }
    columns |= {name: [row[name] for row in rows] for name in _SHOWN}
    for number, name in enumerate(problem.classes):
        columns[f"p_{name}"] = [row["probabilities"][number] for row in rows]
    return pa.table(columns)


def _where(problem: Problem, model_version: str) -> str:
    return (
        f"dataset = {quoted(problem.dataset)} AND problem = {quoted(problem.name)} "
        f"AND model_version = {quoted(model_version)}"
    )
