"""The step that scores what a model has not scored yet."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from neuro.errors import ConfigError
from neuro.prediction import case_answers, out_file, stored
from neuro.prediction import predict as predictor
from tasks.load import engines
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """wanted: rows that were asked for. n_new: how many had no answer yet, predicted in seconds.

    runtime: by which, such as "openvino bf16".
    """

    wanted: NDArray[np.int64]
    n_new: int
    seconds: float
    runtime: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRequest:
    """release: None for the current one. out: where the table goes, None for the home."""

    release: str | None
    out: Path | None
    engine: str


def request(source: str, release: str | None, out: str | None, engine: str) -> ReleaseRequest:
    """Check what was asked before a model is loaded. source: a release, named first or by option.

    Raises ConfigError.
    """
    engines.require(engine)
    if source and release and source != release:
        raise ConfigError(f"two releases are named, {source} and --release {release}; give one")
    path = out_file.named(out) if out else None
    return ReleaseRequest(release=source or release, out=path, engine=engine)


@step(name="predict")
def predict(
    loaded: Loaded, model: Model, asked: ReleaseRequest, window: str | None = None
) -> dict[str, Any]:
    """Predict every sample (of one delivery, or of all) that this model has not predicted yet.

    A prediction is keyed by sample, problem and model: running twice adds nothing. All predictions
    of the wanted samples are written to a file, and where the problem has a rule for cases, the
    answers to these beside it.
    """
    lake, problem = loaded.lake, loaded.problem
    artifacts.label_run(name=f"predict {window or loaded.release.name} by {model.version[:12]}")
    scored = score(loaded, model, window, asked.engine)
    chosen = [loaded.samples[row] for row in scored.wanted.tolist()]
    names = {sample.sample_id: sample.source_name for sample in chosen}
    table = stored.table(lake, problem, model.version, names)
    path = _write(table, loaded, model, asked.out)
    groups = {sample.sample_id: sample.group_id for sample in chosen}
    decisions = dict(Counter(table["decision"].to_pylist()))
    artifacts.table(
        "predictions",
        [{"decision": name, "images": n} for name, n in decisions.items()],
        f"{scored.n_new} predictions by model {model.version[:12]}",
    )
    return {
        "n": scored.n_new,
        "asked": len(scored.wanted),
        "model_version": model.version,
        "engine": scored.runtime,
        "images_per_s": round(scored.n_new / scored.seconds, 1) if scored.n_new else 0.0,
        "decisions": decisions,
        "predictions": str(path),
        "cases": write_cases(model, table, groups, path, replaces=asked.out is None),
    }


def write_cases(
    model: Model, images: pa.Table, cases: Mapping[str, str], path: Path, *, replaces: bool
) -> dict[str, Any] | None:
    """Answers to cases beside those to their images, in NAME.cases.ENDING; None without a rule.

    cases: that of each image, by its digest or, of files, its name. path: of the answers to images.
    """
    card = model.package.card
    if not card.cases.rule:
        return None
    table = case_answers.table(card, images, cases)
    place = beside(path)
    if replaces:
        place.unlink(missing_ok=True)
    with out_file.writing(place, table.schema) as add:
        add(table)
    decisions = dict(Counter(table["decision"].to_pylist()))
    _log.info("%d cases by the rule %s: %s", table.num_rows, card.cases.rule, decisions)
    return {"n": table.num_rows, "decisions": decisions, "predictions": str(place)}


def beside(path: Path) -> Path:
    """Where the answers to cases lie beside a file of answers to images."""
    return path.with_name(f"{path.stem}.cases{path.suffix}")


def score(loaded: Loaded, model: Model, window: str | None, engine: str = engines.AUTO) -> Scored:
    """Predict and store what this model has not predicted yet, of one delivery or of all."""
    lake, problem, frames = loaded.lake, loaded.problem, loaded.frames
    entered = loaded.entered()
    wanted = np.arange(len(entered)) if window is None else np.flatnonzero(entered == window)
    done = stored.sample_ids(lake, problem, model.version)
    rows = wanted[~np.isin(frames.sample_ids[wanted], done)]
    by = engines.opened(model, engine, frames.pixels, rows).engine
    started = time.perf_counter()
    predictions = predictor.predict_frames(by, frames, rows, model_version=model.version)
    seconds = time.perf_counter() - started
    stored.add(lake, problem, predictions, entered[rows].tolist(), datetime.now(UTC))
    return Scored(wanted=wanted, n_new=len(rows), seconds=seconds, runtime=str(by.runtime))


def _write(table: pa.Table, loaded: Loaded, model: Model, out: Path | None) -> Path:
    if out is not None:
        with out_file.writing(out, table.schema) as add:
            add(table)
        return out
    folder = settings.load().home / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{loaded.problem.name}-{loaded.release.name}-{model.version[:16]}.parquet"
    _replace(table, path)
    return path


def _replace(table: pa.Table, path: Path) -> None:
    scratch = path.with_suffix(".part")
    pq.write_table(table, scratch)
    scratch.rename(path)
