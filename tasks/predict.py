"""The step that scores what a model has not scored yet."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
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
from neuro.sample import Prediction
from tasks import predict_shards
from tasks.load import engines
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.predict_shards import Pace
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

SAVE_S = 10.0  # seconds of answers that a killed run may have to give again

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """wanted: rows that were asked for. n_new: how many had no answer yet, and got it.

    runtime: by which, such as "openvino bf16".
    """

    wanted: NDArray[np.int64]
    n_new: int
    images_per_s: float
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
        "images_per_s": round(scored.images_per_s, 1),
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
    """Predict and store what this model has not predicted yet, of one delivery or of all.

    Shard by shard on the run's task runner, stored as it goes: a run that was killed goes on.
    """
    lake, problem, frames = loaded.lake, loaded.problem, loaded.frames
    entered = loaded.entered()
    wanted = np.arange(len(entered)) if window is None else np.flatnonzero(entered == window)
    done = stored.sample_ids(lake, problem, model.version)
    rows = wanted[~np.isin(frames.sample_ids[wanted], done)]
    model = engines.opened(model, engine, frames.pixels, rows)
    predictor.require_same_preprocess(model.engine, frames)
    came_with = dict(zip(frames.sample_ids[rows].tolist(), entered[rows].tolist(), strict=True))
    pace = predict_shards.Pace(total=len(rows), what="images")
    ran_by = {str(model.engine.runtime)} if not len(rows) else set[str]()
    for predictions in _saved(_answered(model, loaded, rows, pace, ran_by)):
        windows = [came_with[each.sample_id] for each in predictions]
        stored.add(lake, problem, predictions, windows, datetime.now(UTC))
    return Scored(
        wanted=wanted,
        n_new=len(rows),
        images_per_s=pace.per_s,
        runtime=", ".join(sorted(ran_by)),
    )


def _answered(
    model: Model, loaded: Loaded, rows: NDArray[np.int64], pace: Pace, ran_by: set[str]
) -> Iterator[list[Prediction]]:
    """Answers to some rows of the frames, shard by shard. ran_by: gets the runtimes."""
    frames, size = loaded.frames, settings.load().shard
    some = (rows[start : start + size] for start in range(0, len(rows), size))
    shards = (
        predict_shards.cut(model, frames.sample_ids[each].tolist(), frames.pixels[each])
        for each in some
    )
    for shard in predict_shards.predict_shard.stream(shards):
        pace.add(len(shard.predictions))
        ran_by.add(shard.runtime)
        yield shard.predictions


def _saved(shards: Iterator[list[Prediction]]) -> Iterator[list[Prediction]]:
    """The same in larger pieces: a commit of the lake costs as much for one as for thousands."""
    piece: list[Prediction] = []
    begun = time.monotonic()
    for predictions in shards:
        piece += predictions
        if time.monotonic() - begun >= SAVE_S:
            yield piece
            piece, begun = [], time.monotonic()
    if piece:
        yield piece


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
