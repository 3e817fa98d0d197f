"""Steps that judge windows of the past again, and store no verdict.

No event is sent and no reader asked. Labels of the test split stay hidden.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from logging import getLogger
from typing import Any

import numpy as np

from monitoring import history, windows
from monitoring.intake import Counted
from monitoring.signals import INTAKE
from monitoring.verdicts import Verdict
from neuro.errors import ConfigError
from neuro.promotion import verdict_log
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift
from tasks import window as windows_of
from tasks.drift import Base, Compared, Harmless
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime.steps import step
from tasks.window import Window

MOST_WINDOWS = 520  # of a replay: ten years of weeks

_log = getLogger(__name__)


@step(name="replay")
def past(
    loaded: Loaded, model: Model, days: float, policy: DriftPolicy, now: datetime
) -> dict[str, Any]:
    """Judge each window of so many days up to now, without audits and the verdicts stored before.

    How far harmless windows are is learnt on the way.

    Returns replayed, a row for each window, the oldest first; verdicts, how many were what; and
    alarms, the share of judged windows in which each signal alarmed.
    """
    windows.require_days(days)
    against = drift.base(loaded, model)
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
    rows, alarms, n_judged, harmless = [], Counter[str](), 0, list[Harmless]()
    for number in range(n - 1, -1, -1):
        row, verdict = _judged(against, days, policy, now - timedelta(days=number * days), harmless)
        rows.append(row)
        n_judged += bool(verdict and verdict.signals)
        for signal in verdict.signals if verdict else ():
            alarms[signal.name] += signal.alarm
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
    compared = _without_test(against, found)
    return told(compared, policy, drift.harmless(loaded, model, compared))


def _judged(
    against: Base, days: float, policy: DriftPolicy, end: datetime, harmless: list[Harmless]
) -> tuple[dict[str, Any], Verdict | None]:
    """A row about a window of the past, and the verdict on it; None where none is possible.

    harmless: windows before it, apart from each other, the last at the end; it may become one.
    """
    try:
        found = windows_of.of_days(against.loaded, against.model, against.seen, days, policy, end)
    except ConfigError as error:
        empty = {"window": f"{days:g}-days-to-{end:%Y-%m-%d}", "images": 0, "groups": 0}
        return {**empty, "verdict": "not judged", "alarms": "", "reason": str(error)}, None
    compared = _without_test(against, found)
    start = end - timedelta(days=verdict_log.NEARLY * found.days)
    before = [each for each in reversed(harmless) if each.until <= start]
    verdict = drift.judge.function(compared, policy, before)
    if verdict.verdict in history.HARMLESS and len(before) == len(harmless):
        stored = [asdict(signal) for signal in verdict.signals]
        distances = history.distances(stored)
        known = Harmless(
            until=end,
            groups=compared.window.n_groups,
            distances=distances,
            counted=_counted(compared, verdict),
        )
        harmless.append(known)
    elif verdict.verdict == "retrain":
        harmless.clear()
    return {
        "window": found.name,
        "images": compared.window.n,
        "groups": compared.window.n_groups,
        "verdict": verdict.verdict,
        "alarms": ", ".join(signal.name for signal in verdict.signals if signal.alarm),
        "reason": verdict.reason,
    }, verdict


def _counted(compared: Compared, verdict: Verdict) -> Counted | None:
    """What came in a window, and whether its verdict found that unusual."""
    unusual = any(signal.alarm for signal in verdict.signals if signal.name == INTAKE)
    return Counted(came=compared.intake, was_unusual=unusual) if compared.intake else None


def _without_test(against: Base, found: Window) -> Compared:
    """A window whose labels of the test split are not looked at."""
    compared, hidden = against.compared(found), against.test_rows(found)
    correct = np.where(hidden, np.nan, compared.window.correct)
    return replace(compared, window=replace(compared.window, correct=correct))


def told(
    compared: Compared, policy: DriftPolicy, before: Sequence[Harmless] = ()
) -> dict[str, Any]:
    """The verdict on a window, as plain values with its size."""
    verdict = drift.judge(compared, policy, before)
    artifacts.label_run(verdict.verdict, name=f"once {compared.window_name}: {verdict.verdict}")
    counts = {"images": compared.window.n, "groups": compared.window.n_groups}
    return {**asdict(verdict), **counts}
