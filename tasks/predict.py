"""The step that scores what a model has not scored yet."""

import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from neuro.lake.lake import quoted
from neuro.lake.schema import SCHEMAS
from neuro.prediction import predict as predictor
from neuro.sample import Prediction
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step


@step(name="predict")
def predict(loaded: Loaded, model: Model, window: str | None = None) -> dict[str, Any]:
    """Predict every sample (of one delivery, or of all) that this model has not predicted yet.

    A prediction is keyed by sample and model: running twice adds nothing. All predictions of the
    asked samples are written to a Parquet file.
    """
    entered = loaded.entered()
    artifacts.label_run(name=f"predict {window or loaded.release.name} by {model.version[:12]}")
    asked = np.arange(len(entered)) if window is None else np.flatnonzero(entered == window)
    done = _done(loaded, model)
    rows = asked[~np.isin(loaded.frames.sample_ids[asked], done)]
    started = time.perf_counter()
    made = predictor.predict_frames(model.engine, loaded.frames, rows, model_version=model.version)
    seconds = time.perf_counter() - started
    _store(loaded, made, entered[rows])
    path, decisions = _export(loaded, model, asked)
    artifacts.table(
        "predictions",
        [{"decision": name, "images": n} for name, n in decisions.items()],
        f"{len(rows)} predictions by model {model.version[:12]}",
    )
    return {
        "n": len(rows),
        "asked": len(asked),
        "model_version": model.version,
        "images_per_s": round(len(rows) / seconds, 1) if len(rows) else 0.0,
        "decisions": decisions,
        "predictions": str(path),
    }


def _done(loaded: Loaded, model: Model) -> NDArray[np.str_]:
    rows = loaded.lake.read("predictions", columns=["sha256"], where=_where(loaded, model))
    return np.array(rows["sha256"].to_pylist(), dtype=np.str_)


def _where(loaded: Loaded, model: Model) -> str:
    problem = loaded.problem
    return (
        f"dataset = {quoted(problem.dataset)} AND problem = {quoted(problem.name)} "
        f"AND model_version = {quoted(model.version)}"
    )


def _store(loaded: Loaded, made: list[Prediction], windows: NDArray[np.str_]) -> None:
    now = datetime.now(UTC)
    rows = []
    for prediction, window in zip(made, windows.tolist(), strict=True):
        facts = asdict(prediction)
        facts["sha256"] = facts.pop("sample_id")
        problem = loaded.problem
        rows.append(
            {**facts, "dataset": problem.dataset, "problem": problem.name}
            | {"predicted_at": now, "window": window}
        )
    loaded.lake.add("predictions", pa.Table.from_pylist(rows, SCHEMAS["predictions"]))


def _export(loaded: Loaded, model: Model, asked: NDArray[np.int64]) -> tuple[Path, dict[str, int]]:
    wanted = {str(name) for name in loaded.frames.sample_ids[asked]}
    names = {sample.sample_id: sample.source_name for sample in loaded.samples}
    stored = loaded.lake.read("predictions", where=_where(loaded, model)).sort_by("sha256")
    chosen = [row for row in stored.to_pylist() if row["sha256"] in wanted]
    table = pa.table(
        {
            "sha256": [row["sha256"] for row in chosen],
            "source_name": [names[row["sha256"]] for row in chosen],
            "predicted": [row["predicted"] for row in chosen],
            "decision": [row["decision"] for row in chosen],
            "reason": [row["reason"] for row in chosen],
            "conformal_set": [row["conformal_set"] for row in chosen],
            "ood_score": [row["ood_score"] for row in chosen],
            "model_version": [row["model_version"] for row in chosen],
            **{
                f"p_{name}": [row["probabilities"][index] for row in chosen]
                for index, name in enumerate(loaded.problem.classes)
            },
        }
    )
    folder = settings.load().home / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{loaded.problem.name}-{loaded.release.name}-{model.version[:16]}.parquet"
    scratch = path.with_suffix(".part")
    pq.write_table(table, scratch)
    scratch.rename(path)
    return path, dict(Counter(row["decision"] for row in chosen))
