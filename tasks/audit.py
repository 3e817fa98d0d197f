"""Steps of the audit: draw some images of a window for readers, and say what their labels show."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from logging import getLogger

import numpy as np

from monitoring import audit_sample, harm, verdicts
from monitoring.harm import Audit, Evidence
from monitoring.verdicts import Verdict
from neuro.errors import StaleError
from neuro.lake import audits, erasure, labels, releases, work_list
from neuro.lake.audits import Audited
from neuro.lake.work_list import AUDIT, CANNOT_TELL, WorkItem, WorkKey
from neuro.promotion.drift_policy import DriftPolicy
from neuro.promotion.verdict_log import NEARLY
from tasks.drift import Compared
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.runtime.steps import step

_DAY_S = 86_400.0
_FIRST = -1e6  # ranks before every other source: a label that comes late finds harm late
_log = getLogger(__name__)


@step(name="weigh the audits")
def weigh(
    loaded: Loaded, model: Model, compared: Compared, verdict: Verdict, policy: DriftPolicy
) -> Verdict:
    """The verdict once the labels of the version's audit samples, of all windows, are heard."""
    found = evidence(loaded, model, compared, policy)
    if found is None:
        return verdict
    error = 1 - float(compared.reference.labelled().correct.mean())
    return verdicts.with_audits(verdict, found, policy, error)


def evidence(
    loaded: Loaded, model: Model, compared: Compared, policy: DriftPolicy
) -> Evidence | None:
    """What the labels of a version's audit samples say together; None without one."""
    lake, problem = loaded.lake, loaded.problem
    drawn = [
        each
        for each in audits.of_version(lake, problem.name, model.version)
        # A window of the past knows nothing of later ones; its own sample is drawn after its end.
        if each.window == compared.window_name or each.drawn_at <= compared.until
    ]
    if not drawn or not compared.reference.labelled().n:
        return None
    known = _known(loaded, drawn)
    unclear = {
        each.item.key.sha256
        for each in work_list.readings(lake, problem.name)
        if each.decision and each.decision.label == CANNOT_TELL
    }
    by_window: dict[str, list[Audited]] = defaultdict(list)
    for each in drawn:
        by_window[each.window].append(each)
    found = []
    for rows in by_window.values():
        # As far as all have been read: what is labelled first elsewhere is labelled for its errors.
        read = takewhile(lambda each: each.sha256 in known or each.sha256 in unclear, rows)
        said = [
            (each.weight, truth != each.predicted)
            for each in read
            if (truth := problem.class_of(known.get(each.sha256, "")))
        ]
        weights, is_wrong = np.array(said, np.float64).reshape(-1, 2).T
        errors = weights * is_wrong
        found.append(Audit(errors=errors, weights=weights, is_flagged=rows[0].is_flagged))
    allowed = harm.allowed_error(compared.reference)
    told = harm.evidence(found, allowed, policy.min_labelled_groups)
    return told if told.n else None


@step(name="draw the audit sample")
def draw(
    loaded: Loaded,
    model: Model,
    compared: Compared,
    verdict: Verdict,
    policy: DriftPolicy,
    days: float | None = None,
) -> int:
    """Put some images of the window on the work list, for readers; returns how many were new.

    policy.audit: how many at most. days: the length of a window that ends now, None for that of a
    release. Drawn is once a window, and once in so many days: a check that runs more often asks
    for no more labels. What was drawn stands in the lake before it is on the list, and a draw that
    was cut short in between is completed. Images of the test split are left out, and groups drawn
    before; one that has a label needs no reader. While an erasure is under way nothing is drawn.
    """
    lake, problem, window = loaded.lake, loaded.problem, compared.window_name
    try:
        erasure.require_none(lake)
    except StaleError as error:  # the verdict does not wait for it
        _log.warning("no audit sample is drawn: %s", error)
        return 0
    drawn = audits.of_version(lake, problem.name, model.version)
    is_new = all(each.window != window for each in drawn) and not _is_early(drawn, days)
    if is_new and policy.audit:
        audits.add(lake, _drawn(loaded, model, compared, verdict, policy.audit, drawn, days))
        drawn = audits.of_version(lake, problem.name, model.version)
    settled = {*_known(loaded, drawn)}
    settled |= {each.item.key.sha256 for each in work_list.readings(lake, problem.name)}
    items = [
        WorkItem(
            key=WorkKey(problem.name, each.sha256),
            dataset=problem.dataset,
            source=AUDIT,
            why=f"drawn by chance ({each.stratum}), to measure version {model.version} in window "
            f"{each.window}",
            added_at=each.drawn_at,
            rank=_FIRST + each.sequence,
        )
        for each in drawn  # of all windows: a draw may have been cut short here
        if each.sha256 not in settled
    ]
    added = work_list.add(lake, items)
    _log.info("audit of %s: %d more images for readers", window, added)
    return added


def _is_early(drawn: Sequence[Audited], days: float | None) -> bool:
    """Whether a window of so many days was drawn from less than so many days ago."""
    now = datetime.now(UTC)
    ages = [abs((now - each.drawn_at).total_seconds()) / _DAY_S for each in drawn if each.days]
    return bool(days and ages) and min(ages) < NEARLY * (days or 0.0)


def _known(loaded: Loaded, drawn: Sequence[Audited]) -> dict[str, str]:
    """The source labels of what was drawn, as the next release would have them."""
    lake, dataset = loaded.lake, loaded.problem.dataset
    hidden = releases.left_out(lake, dataset)
    return labels.newest(lake, dataset, [each.sha256 for each in drawn], hidden)


def _drawn(
    loaded: Loaded,
    model: Model,
    compared: Compared,
    verdict: Verdict,
    n: int,
    before: Sequence[Audited],
    days: float | None,
) -> list[Audited]:
    frames, ids = loaded.frames, loaded.frames.sample_ids[compared.rows]
    known = np.isin(frames.sample_ids, [each.sha256 for each in before])
    is_open = (compared.rows >= 0) & (frames.splits[compared.rows] != "test")
    is_open &= ~np.isin(frames.groups[compared.rows], frames.groups[known])
    rows = np.flatnonzero(is_open).astype(np.int64)
    if not len(rows):
        return []
    window = compared.window.take(rows)
    unusual = audit_sample.unusualness(compared.reference.descriptors, window.descriptors)
    seed = [*f"{loaded.problem.name}/{model.version}/{compared.window_name}".encode()]
    found = audit_sample.draw(window, unusual, n, np.random.default_rng(seed))
    now, classes = datetime.now(UTC), model.package.card.classes
    is_flagged = any(signal.alarm and signal.dealt for signal in verdict.signals)
    return [
        Audited(
            problem=loaded.problem.name,
            model_version=model.version,
            window=compared.window_name,
            sequence=sequence,
            sha256=str(ids[rows[each.row]]),
            dataset=loaded.problem.dataset,
            stratum=_named(each.stratum, classes),
            weight=each.weight,
            predicted=classes[compared.called[rows[each.row]]],
            is_flagged=is_flagged,
            drawn_at=now,
            days=days or 0.0,
        )
        for sequence, each in enumerate(found)
    ]


def _named(stratum: str, classes: tuple[str, ...]) -> str:
    """A stratum of a class by its name."""
    kind, _, index = stratum.partition(" ")
    return f"{kind} {classes[int(index)]}" if index else kind
