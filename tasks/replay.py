"""Steps that judge windows and store no verdict: past ones again, or images that are in no lake.

No event is sent and no reader asked. Labels of the test split stay hidden.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from logging import getLogger
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring import windows
from monitoring.verdicts import Verdict
from monitoring.windows import Observed
from neuro.errors import ConfigError
from neuro.features import descriptors
from neuro.images import sandbox
from neuro.images.sandbox import Rejected, VetConfig
from neuro.images.sanitize import CleanImage
from neuro.ingest import file_kinds, sources
from neuro.lake import images
from neuro.prediction import predict, vetted
from neuro.problems.problem import Problem
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift
from tasks import window as windows_of
from tasks.drift import Base, Compared
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step
from tasks.window import Window

MOST_WINDOWS = 520  # of a replay: ten years of weeks
_PART = 256  # files that are in memory at a time

_log = getLogger(__name__)


@step(name="replay")
def past(loaded: Loaded, model: Model, days: float, policy: DriftPolicy) -> dict[str, Any]:
    """Judge each window of so many days up to now, by itself and by the signals without audits.

    Returns replayed, a row for each window, the oldest first; verdicts, how many were what; and
    alarms, the share of judged windows in which each signal was above its threshold.
    """
    windows.require_days(days)
    against, now = drift.base(loaded, model), datetime.now(UTC)
    first = windows_of.first_answer(against.loaded, model)
    if first is None or first > now:
        raise ConfigError(
            f"model {model.version[:12]} has answered nothing up to now; run `neuro predict`"
        )
    n = int((now - first) / timedelta(days=days)) + 1
    if n > MOST_WINDOWS:
        raise ConfigError(
            f"{n:,} windows of {days:g} days lie between the first answer and now, and at most "
            f"{MOST_WINDOWS} are replayed; give more --days"
        )
    rows, alarms, n_judged = [], Counter[str](), 0
    for number in range(n - 1, -1, -1):
        row, verdict = _judged(against, days, policy, now - timedelta(days=number * days))
        rows.append(row)
        n_judged += bool(verdict and verdict.signals)
        for signal in verdict.signals if verdict else ():
            alarms[signal.name] += signal.statistic > signal.threshold
        _log.info("window %d of %d: %s", n - number, n, row["verdict"])
    counts = Counter(row["verdict"] for row in rows)
    artifacts.table("replayed", rows, f"{n} windows of {days:g} days, judged again")
    shares = {name: round(count / n_judged, 4) for name, count in alarms.items()}
    return {"replayed": rows, "verdicts": dict(counts), "alarms": shares}


@step(name="judge once")
def current(loaded: Loaded, model: Model, window: str, policy: DriftPolicy) -> dict[str, Any]:
    """The verdict on a release or on a window of days that was judged before, by its name."""
    against = drift.base(loaded, model)
    found = windows_of.find(against.loaded, model, against.seen, window, 0.0, policy)
    return _told(_without_test(against, found), policy)


@step(name="judge files")
def of_files(
    loaded: Loaded, model: Model, source: str, problem: Problem, policy: DriftPolicy
) -> dict[str, Any]:
    """The verdict on the images of a source that is not in the lake, without labels.

    source: a folder, an archive, an image or s3://. An image of no group is a group of its own.
    Raises ConfigError where vetting lets no image in.
    """
    against, here = drift.base(loaded, model), settings.load()
    with sources.opened(
        source, here.home / "scratch", endpoint=here.s3_endpoint, deadline_s=here.s3_deadline_s
    ) as listing:
        files, others = file_kinds.sort_files(listing.files)
        if not files:
            raise file_kinds.no_images(source, (*listing.skipped, *others))
        config = VetConfig(workers=settings.cores())
        with closing(sandbox.check_files([file.path for file in files], config)) as checked:
            named = zip([file.name for file in files], checked, strict=True)
            window, called, n_learnt = _observed(model, problem, named)
    n_lost = len(files) - window.n - n_learnt
    notes = {"are refused or repeated": n_lost, "are of what the model was trained on": n_learnt}
    found = Compared(
        reference=against.reference,
        window=window,
        reference_name=against.name,
        window_name=source,
        note="; ".join(f"{n} of {len(files)} files {why}" for why, n in notes.items() if n),
        rows=np.full(window.n, -1),
        called=called,
        reference_rows=against.rows,
    )
    return _told(found, policy)


def _judged(
    against: Base, days: float, policy: DriftPolicy, end: datetime
) -> tuple[dict[str, Any], Verdict | None]:
    """A row about a window of the past, and the verdict on it; None where none is possible."""
    try:
        found = windows_of.of_days(against.loaded, against.model, against.seen, days, policy, end)
    except ConfigError as error:
        empty = {"window": f"{days:g}-days-to-{end:%Y-%m-%d}", "images": 0, "groups": 0}
        return {**empty, "verdict": "not judged", "alarms": "", "reason": str(error)}, None
    compared = _without_test(against, found)
    verdict = drift.judge.function(compared, policy)
    return {
        "window": found.name,
        "images": compared.window.n,
        "groups": compared.window.n_groups,
        "verdict": verdict.verdict,
        "alarms": ", ".join(signal.name for signal in verdict.signals if signal.alarm),
        "reason": verdict.reason,
    }, verdict


def _without_test(against: Base, found: Window) -> Compared:
    """A window whose labels of the test split are not looked at."""
    compared, hidden = against.compared(found), against.test_rows(found)
    correct = np.where(hidden, np.nan, compared.window.correct)
    return replace(compared, window=replace(compared.window, correct=correct))


def _observed(
    model: Model, problem: Problem, named: Iterator[tuple[str, CleanImage | Rejected]]
) -> tuple[Observed, NDArray[np.int64], int]:
    """What is known of vetted images, by the names of their files, and what each is called.

    Each counts once. Those the model was trained on are left out; also returns how many.
    """
    card, trainings, seen = model.package.card, model.package.trained_on(), dict[str, bool]()
    parts = []
    while part := list(islice(named, _PART)):
        fresh: dict[str, tuple[CleanImage, str]] = {}
        for name, image in part:
            if isinstance(image, Rejected) or image.sha256 in seen:
                continue
            seen[image.sha256] = any(each.holds([[image.sha256]])[0] for each in trainings)
            if not seen[image.sha256]:
                fresh[image.sha256] = (image, _group(problem, name, image))
        decoded = vetted.decode((image for image, _ in fresh.values()), card.preprocess)
        chosen = [fresh[digest] for digest in decoded.sample_ids]
        if not chosen:
            continue
        said = predict.answer(model.engine, decoded.pixels)
        parts.append(
            (
                np.array([group for _, group in chosen]),
                np.array([images.format_of(asdict(image)) for image, _ in chosen]),
                np.array([descriptors.describe(image.stored) for image, _ in chosen]),
                card.calibration.reference.along(said.embeddings),
                said.calibrated.probabilities,
                said.calibrated.called,
            )
        )
        _log.info("%d images looked at", len(seen))
    n_learnt = sum(seen.values())
    if not parts:
        why = "the model was trained on all" if n_learnt else "vetting lets in none"
        raise ConfigError(
            f"{why} of the images; `neuro predict DIR --out FILE.csv` says what each is"
        )
    groups, formats, figures, along, outputs, called = map(np.concatenate, zip(*parts, strict=True))
    window = Observed(
        groups=groups,
        descriptors=figures,
        features=along,
        probabilities=outputs,
        confidence=outputs[np.arange(len(called)), called],
        correct=np.full(len(called), np.nan),
        formats=formats,
    )
    return window, called, n_learnt


def _group(problem: Problem, name: str, image: CleanImage) -> str:
    """Of the patient or lesion, as far as the file says it; else the image is one of its own."""
    patient = image.group_id_hint if problem.groups.is_patient_id else ""
    return problem.groups.id_of(name) or patient or image.sha256


def _told(compared: Compared, policy: DriftPolicy) -> dict[str, Any]:
    verdict = drift.judge(compared, policy)
    artifacts.label_run(verdict.verdict, name=f"once {compared.window_name}: {verdict.verdict}")
    counts = {"images": compared.window.n, "groups": compared.window.n_groups}
    return {**asdict(verdict), **counts}
