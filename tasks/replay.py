"""Steps that judge windows and write nothing down: past ones again, or images that are in no lake.

No verdict is stored, no event sent and no reader asked. Labels of the test split stay hidden.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
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
from neuro.errors import BadImageError, ConfigError
from neuro.features import descriptors
from neuro.images import preprocess, sandbox
from neuro.images.sandbox import Rejected, VetConfig
from neuro.images.sanitize import CleanImage
from neuro.ingest import file_kinds, sources
from neuro.lake import images
from neuro.prediction import predict
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
    if first is None:
        raise ConfigError(
            f"model {model.version[:12]} has answered nothing yet; run `neuro predict`"
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
        groups = [problem.groups.id_of(file.name) for file in files]
        config = VetConfig(workers=settings.cores())
        with closing(sandbox.check_files([file.path for file in files], config)) as vetted:
            window, called = _observed(model, vetted, groups)
    n_refused = len(files) - window.n
    found = Compared(
        reference=against.reference,
        window=window,
        reference_name=against.name,
        window_name=source,
        note=f"{n_refused} of {len(files)} files are refused or repeated" if n_refused else "",
        rows=np.full(window.n, -1),
        called=called,
        reference_rows=against.rows,
    )
    return _told(found, policy)


def _judged(
    against: Base, days: float, policy: DriftPolicy, end: datetime
) -> tuple[dict[str, Any], Verdict | None]:
    """A row about a window of the past, and the verdict on it; None where nothing was answered."""
    try:
        found = windows_of.of_days(against.loaded, against.model, against.seen, days, policy, end)
    except ConfigError as error:
        empty = {"window": f"{days:g}-days-to-{end:%Y-%m-%d}", "images": 0, "groups": 0}
        return {**empty, "verdict": "nothing", "alarms": "", "reason": str(error)}, None
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
    model: Model, vetted: Iterator[CleanImage | Rejected], groups: Sequence[str]
) -> tuple[Observed, NDArray[np.int64]]:
    """What is known of vetted images, each once; groups: of every file, "" for none."""
    reference, seen = model.package.card.calibration.reference, set[str]()
    spec = model.package.card.preprocess
    parts = []
    named = zip(vetted, groups, strict=True)
    while part := list(islice(named, _PART)):
        owners, stored, frames, formats = [], [], [], []
        for image, group in part:
            if isinstance(image, Rejected) or image.sha256 in seen:
                continue
            try:
                frames.append(preprocess.frame(image.stored, spec))
            except BadImageError:
                continue  # as one that vetting refuses
            seen.add(image.sha256)
            stored.append(image.stored)
            formats.append(images.format_of(asdict(image)))
            owners.append(group or image.sha256)
        if not stored:
            continue
        said = predict.answer(model.engine, np.stack(frames))
        figures = np.array([descriptors.describe(raw) for raw in stored])
        along, honest = reference.along(said.embeddings), said.calibrated
        told = (np.array(owners), np.array(formats), figures, along)
        parts.append((*told, honest.probabilities, honest.called))
        _log.info("%d images looked at", len(seen))
    if not parts:
        raise ConfigError(
            "vetting lets none of the images in; `neuro predict DIR --out FILE.csv` says why"
        )
    names, formats_of, figures, along, outputs, called = map(
        np.concatenate, zip(*parts, strict=True)
    )
    return (
        Observed(
            groups=names,
            descriptors=figures,
            features=along,
            probabilities=outputs,
            confidence=outputs[np.arange(len(called)), called],
            correct=np.full(len(called), np.nan),
            formats=formats_of,
        ),
        called,
    )


def _told(compared: Compared, policy: DriftPolicy) -> dict[str, Any]:
    verdict = drift.judge(compared, policy)
    artifacts.label_run(verdict.verdict, name=f"once {compared.window_name}: {verdict.verdict}")
    counts = {"images": compared.window.n, "groups": compared.window.n_groups}
    return {**asdict(verdict), **counts}
