"""Steps that judge windows of the past again, and store no verdict.

No event is sent and no reader asked. Labels of the test split stay hidden.
"""

from collections import Counter
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from logging import getLogger
from typing import Any

import numpy as np

from monitoring import windows
from monitoring.verdicts import Verdict
from neuro.errors import ConfigError
from neuro.promotion.drift_policy import DriftPolicy
from tasks import drift
from tasks import window as windows_of
from tasks.drift import Base, Compared
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
    """Judge each window of so many days up to now, without audits and the verdicts before it.

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
    rows, alarms, n_judged = [], Counter[str](), 0
    for number in range(n - 1, -1, -1):
        row, verdict = _judged(against, days, policy, now - timedelta(days=number * days))
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
    return told(_without_test(against, found), policy)


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


def told(compared: Compared, policy: DriftPolicy) -> dict[str, Any]:
    """The verdict on a window, as plain values with its size."""
    verdict = drift.judge(compared, policy)
    artifacts.label_run(verdict.verdict, name=f"once {compared.window_name}: {verdict.verdict}")
    counts = {"images": compared.window.n, "groups": compared.window.n_groups}
    return {**asdict(verdict), **counts}
