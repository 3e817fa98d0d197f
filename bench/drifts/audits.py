"""Years of weekly audit samples: when their labels show harm, and how often harm that is none."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.random import Generator

from bench.drifts import peers, watching
from bench.drifts.watching import Watched
from monitoring import audit_sample, harm, verdicts
from monitoring.harm import Audit
from monitoring.windows import Observed
from neuro.promotion.drift_policy import DriftPolicy

YEAR, SOON = 52, 4  # weeks
MAPIE_LOOKS = (1, 2, 3, 4, 8, 13, 26, 52)  # after so many weeks: each look takes seconds
MAPIE_YEARS = 8
MAPIE = "MAPIE, 1 %, no tolerance"
POLICY = DriftPolicy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Year:
    """A line of the second table: shares of years in which a method has found harm."""

    problem: str
    scene: str
    lost: float
    method: str
    years: int
    soon: float
    in_a_year: float
    median_weeks: float


def run(
    problem: str,
    scene: str,
    reference: Observed,
    watched: Sequence[Watched],
    years: int,
    seed: int,
    *,
    has_mapie: bool,
) -> list[Year]:
    """Years whose weeks are drawn from judged windows; all methods see the same ones."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[int]] = defaultdict(list)
    for year in range(years):
        weeks = [watched[number] for number in rng.integers(len(watched), size=YEAR)]
        for name, week in _ours(reference, weeks, rng).items():
            found[name].append(week)
        if has_mapie and year < MAPIE_YEARS:
            found[MAPIE].append(_mapie(reference, weeks, rng))
    lost = reference.correct.mean() - np.mean([each.window.correct.mean() for each in watched])
    return [
        Year(
            problem=problem,
            scene=scene,
            lost=float(lost),
            method=name,
            years=len(first),
            soon=float(np.mean(np.array(first) < SOON)),
            in_a_year=float(np.mean(np.array(first) < YEAR)),
            median_weeks=float(median(week + 1 if week < YEAR else np.inf for week in first)),
        )
        for name, first in found.items()
    ]


def _ours(reference: Observed, weeks: Sequence[Watched], rng: Generator) -> dict[str, int]:
    """The first week of `retrain` by the labels of all audits so far, and of that or `label`."""
    acts = [n for n, week in enumerate(weeks) if week.verdict.verdict in watching.ACTS]
    harmed = _betting(reference, weeks, rng)
    return {
        "neuro, audits: retrain": harmed,
        "neuro, without labels: label": min(acts, default=len(weeks)),
        "neuro, either": min([harmed, *acts]),
    }


def _betting(reference: Observed, weeks: Sequence[Watched], rng: Generator) -> int:
    allowed, seen = harm.allowed_error(reference), list[Audit]()
    for week, each in enumerate(weeks):
        seen.append(_audit(reference, each, rng))
        if harm.evidence(seen, allowed).wealth >= 1 / POLICY.harm_alpha:
            return week
    return len(weeks)


def _mapie(reference: Observed, weeks: Sequence[Watched], rng: Generator) -> int:
    labels = [peers.uniform_labels(week.window, POLICY.audit, rng) for week in weeks]
    return peers.mapie_week(reference, labels, MAPIE_LOOKS)


def few(reference: Observed, windows: Sequence[Observed], rng: Generator) -> list[str]:
    """The verdicts on windows one after the other, audits of all so far heard."""
    allowed, seen, outcomes = harm.allowed_error(reference), list[Audit](), list[str]()
    usual = 1 - float(reference.labelled().correct.mean())
    for window in windows:
        verdict = watching.judge(reference, watching.unlabelled(window))
        each = Watched(window=window, verdict=verdict)
        seen.append(_audit(reference, each, rng))
        said = harm.evidence(seen, allowed, POLICY.min_labelled_groups)
        heard = verdicts.with_audits(verdict, said, POLICY, usual)
        outcomes.append(heard.verdict)
    return outcomes


def _audit(reference: Observed, week: Watched, rng: Generator) -> Audit:
    window = week.window
    unusual = audit_sample.unusualness(reference.descriptors, window.descriptors)
    drawn = audit_sample.draw(window, unusual, POLICY.audit, rng)
    wrong = 1 - window.correct[[each.row for each in drawn]]
    weights = np.array([each.weight for each in drawn])
    return Audit(errors=wrong * weights, weights=weights, is_flagged=week.is_flagged)
