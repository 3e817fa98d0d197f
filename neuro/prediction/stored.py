"""Predictions in the lake: one row for each sample, problem and model, and the table of them."""

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


def rows(
    lake: Lake, problem: Problem, model_version: str, columns: list[str] | None = None
) -> pa.Table:
    """What a model has predicted for a problem, each sample once; of all columns, or of some.

    columns: with sha256. Tables of before have a key without the problem, and Lance can change no
    key: there two processes that predict the same at once both write.
    """
    where = (
        f"dataset = {quoted(problem.dataset)} AND problem = {quoted(problem.name)} "
        f"AND model_version = {quoted(model_version)}"
    )
    stored = lake.read(TABLE, columns=columns, where=where)
    _, first = np.unique(np.array(stored["sha256"].to_pylist(), dtype=np.str_), return_index=True)
    return stored.take(first)


def sample_ids(lake: Lake, problem: Problem, model_version: str) -> NDArray[np.str_]:
    """Which samples a model has answered for a problem."""
    stored = rows(lake, problem, model_version, ["sha256"])
    return np.array(stored["sha256"].to_pylist(), dtype=np.str_)


def add(
    lake: Lake,
    problem: Problem,
    predictions: Sequence[Prediction],
    windows: Sequence[str],
    now: datetime,
) -> None:
    """Store predictions; what is there already stays. windows: the release each sample entered."""
    about = {"dataset": problem.dataset, "problem": problem.name, "predicted_at": now}
    new_rows = []
    for prediction, window in zip(predictions, windows, strict=True):
        row = asdict(prediction)
        row["sha256"] = row.pop("sample_id")
        new_rows.append({**row, **about, "window": window})
    lake.add(TABLE, pa.Table.from_pylist(new_rows, SCHEMAS[TABLE]))


def table(
    lake: Lake, problem: Problem, model_version: str, source_names: Mapping[str, str]
) -> pa.Table:
    """The stored predictions of these samples, by digest: one column for each class.

    source_names: by sample_id, of the samples that are wanted.
    """
    stored = rows(lake, problem, model_version).sort_by("sha256").to_pylist()
    wanted = [row for row in stored if row["sha256"] in source_names]
    columns: dict[str, list[Any]] = {
        "sha256": [row["sha256"] for row in wanted],
        "source_name": [source_names[row["sha256"]] for row in wanted],
    }
    columns |= {name: [row[name] for row in wanted] for name in _SHOWN}
    for number, name in enumerate(problem.classes):
        columns[f"p_{name}"] = [row["probabilities"][number] for row in wanted]
    return pa.table(columns)
