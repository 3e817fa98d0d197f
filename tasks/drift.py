"""Steps of drift monitoring: observe reference and window, judge, report, remember, tell."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring import verdicts, weekly_report, windows
from monitoring.verdicts import AUDITED, DriftConfig, Verdict
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.evaluation import evaluate
from neuro.lake import features, journal
from neuro.prediction import predict
from neuro.prediction import stored as predictions
from neuro.promotion import claims
from tasks import count_look, featurize
from tasks.load import unseen
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts, events, tracking
from tasks.runtime import settings
from tasks.runtime.steps import step

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Reference and window of one drift check, with their names; note: what was left out.

    rows, called: (window.n,) the window's rows in the release, and the class index of each answer.
    """

    reference: Observed
    window: Observed
    reference_name: str
    window_name: str
    note: str
    rows: NDArray[np.int64]
    called: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Answers:
    """Answers to some rows of the release. probabilities: (n, k). called: (n,) class index."""

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    called: NDArray[np.int64]


@step(name="observe")
def observe(
    loaded: Loaded, model: Model, window: str | None, days: float, *, is_counted: bool = True
) -> Compared:
    """Collect descriptors, probabilities and known labels of reference and window.

    The reference is the validation and calibration samples of the model's own release. The window
    is what entered with the release ``window``, or what was predicted in the last ``days``. What
    the model was trained on in another lake is in neither. Labels of the test split in the window
    are a look, counted unless the same was counted before, as where a page is drawn again.
    """
    seen = unseen.by(loaded, unseen.elsewhere(loaded, model))
    loaded = unseen.for_models(loaded, model)
    predict.require_same_preprocess(model.engine, loaded.frames)
    card = model.package.card
    evaluate.require_same_splitting(card, loaded.frames)
    born = str(card.pin["release"])
    held_out = windows.held_out(loaded.frames.splits)
    known = held_out[loaded.known_at(born)[held_out] & (loaded.frames.targets[held_out] >= 0)]
    honest = predict.answer(model.engine, loaded.frames.pixels, rows=known).calibrated
    reference = _Answers(rows=known, probabilities=honest.probabilities, called=honest.called)
    now = datetime.now(UTC)
    answers, name, note = _window(loaded, model, seen, window, days, now)
    frames, rows = loaded.frames, answers.rows
    n_test = int(((frames.splits[rows] == "test") & (frames.targets[rows] >= 0)).sum())
    if n_test and is_counted:
        looks = count_look.count(loaded, model, read_by="drift", n=n_test)
        _log.info("window %s has %d labels of the test split: %s", name, n_test, looks)
    return Compared(
        reference=_observed(loaded, reference),
        window=_observed(loaded, answers),
        reference_name=f"validation and calibration of {born}",
        window_name=name,
        note="; ".join(filter(None, (loaded.left_out, note))),
        rows=rows,
        called=answers.called,
    )


@step(name="judge")
def judge(compared: Compared, config: DriftConfig) -> Verdict:
    """Compare with thresholds calibrated on resampled groups of the reference."""
    verdict = verdicts.judge(
        compared.reference,
        compared.window,
        window=compared.window_name,
        reference_name=compared.reference_name,
        config=config,
    )
    if compared.note:
        verdict = replace(verdict, reason=f"{verdict.reason} ({compared.note})")
    return verdict


@step(name="report")
def report(loaded: Loaded, model: Model, compared: Compared, verdict: Verdict) -> Path:
    """Write the Evidently page, and keep it in MLflow beside the model."""
    problem = loaded.problem
    page = tracking.drift_page(problem.name, compared.window_name)
    path = settings.load().home / "reports" / page
    path.parent.mkdir(parents=True, exist_ok=True)
    weekly_report.build(
        weekly_report.table(compared.reference, problem.classes),
        weekly_report.table(compared.window, problem.classes),
        verdict,
        path=path,
        synthetic=loaded.release.is_synthetic,
    )
    rows = [artifacts.rounded(asdict(signal)) for signal in verdict.signals]
    title = f"{verdict.verdict}: {verdict.reason}"
    artifacts.label_run(verdict.verdict, name=f"drift {compared.window_name}: {verdict.verdict}")
    artifacts.table("drift-signals", rows, title)
    tags = {"problem": problem.name, "model": model.version, "verdict": verdict.verdict}
    with tracking.run(tracking.drift_experiment(problem.name), compared.window_name, tags) as run:
        tracking.log_files(run, path, "")
        if run.url:
            artifacts.link("drift-report", f"{run.url}/artifacts/{path.name}", "Evidently report")
    return path


@step(name="remember and tell")
def remember(
    loaded: Loaded, model: Model, verdict: Verdict, path: Path, reference: str
) -> dict[str, Any]:
    """Store the verdict first, then send the events nobody has claimed yet.

    reference: how a retraining finds the problem, by name or file.
    """
    problem, release = loaded.problem, loaded.release
    harmful = any(signal.name == AUDITED and signal.alarm for signal in verdict.signals)
    cause = claims.verdict_cause(
        problem.name, verdict.window, model.version, release.name, is_audited=harmful
    )
    body = asdict(verdict) | {"problem": problem.name, "cause": cause, "report": str(path)}
    body |= {"model": model.version, "problem_reference": reference}
    journal.record(loaded.lake, "verdict", cause, body, datetime.now(UTC))
    sent = events.emit_unclaimed(loaded.lake, problem.name)
    return body | {"events": sent}


def _window(
    loaded: Loaded,
    model: Model,
    seen: NDArray[np.bool_],
    window: str | None,
    days: float,
    now: datetime,
) -> tuple[_Answers, str, str]:
    """Stored answers of the window to what was not seen, its name, and a note."""
    columns = ["sha256", "probabilities", "predicted", "predicted_at", "window"]
    stored = predictions.rows(loaded.lake, loaded.problem, model.version, columns).to_pandas()
    if window is not None:
        windows.entered_with(loaded.entered(), window)  # names a window nobody knows
        chosen = stored[stored["window"] == window]
        name = window
    else:
        at = stored["predicted_at"].dt.tz_convert(None).to_numpy()
        chosen = stored.iloc[windows.recent(at, now=now, days=days)]
        # What the model was trained on is no news, and would hide the drift of what came later.
        trained = str(model.package.card.pin["release"])
        known = loaded.frames.sample_ids[loaded.known_at(trained)]
        recent, chosen = chosen, chosen[~chosen["sha256"].isin(known.tolist())]
        name = f"{days:g} days to {now:%Y-%m-%d}".replace(" ", "-")
        if len(recent) and chosen.empty:
            raise ConfigError(
                f"the {len(recent):,} images that model {model.version[:12]} predicted in the last "
                f"{days:g} days are of release {trained}, which it was trained on; ingest what "
                "came since, and run `neuro predict`"
            )
    row_of = {sample_id: row for row, sample_id in enumerate(loaded.frames.sample_ids.tolist())}
    chosen = chosen[chosen["sha256"].isin(row_of)]
    n_predicted = len(chosen)
    chosen = chosen[~chosen["sha256"].isin(loaded.frames.sample_ids[seen].tolist())]
    n_left = n_predicted - len(chosen)
    note = f"{n_left} of {n_predicted} images of the window left out, trained on" if n_left else ""
    if chosen.empty and n_predicted:
        raise ConfigError(
            f"of window {name} model {model.version[:12]} was trained on everything; take a window "
            "that it has not seen"
        )
    if chosen.empty:
        raise ConfigError(
            f"window {name} has no prediction by model {model.version[:12]}; run `neuro predict`"
        )
    rows = np.array([row_of[sample_id] for sample_id in chosen["sha256"]], dtype=np.int64)
    probabilities = np.stack(chosen["probabilities"].to_list()).astype(np.float64)
    classes = model.package.card.classes
    called = np.array([classes.index(name) for name in chosen["predicted"]], dtype=np.int64)
    return _Answers(rows=rows, probabilities=probabilities, called=called), name, note


def _observed(loaded: Loaded, answers: _Answers) -> Observed:
    rows, called = answers.rows, answers.called
    ids, targets = loaded.frames.sample_ids[rows], loaded.frames.targets[rows]
    correct = np.where(targets >= 0, called == targets, np.nan)
    return Observed(
        groups=loaded.frames.groups[rows],
        descriptors=features.read(
            loaded.lake, featurize.DESCRIPTORS, featurize.DESCRIPTORS_HASH, ids.tolist()
        ),
        probabilities=answers.probabilities,
        confidence=answers.probabilities[np.arange(len(called)), called],
        correct=correct.astype(np.float64),
    )
