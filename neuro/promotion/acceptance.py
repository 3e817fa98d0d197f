"""Whether a model meets the limits that a site has set, by its answers to the site's own images.

A limit is met where the 95 % interval shows it: its low end for a least, its high end for a most.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from scipy.special import logit

from neuro.evaluation import intervals, metrics, shares
from neuro.evaluation.evaluate import Evaluation
from neuro.lake import journal
from neuro.lake.lake import Lake
from neuro.promotion.site_limits import SiteLimit, SiteLimits
from neuro.sample import Metric

KIND = "acceptance"  # of journal entries

Outcome = Literal["met", "missed", "not enough groups"]

MET: Outcome = "met"
MISSED: Outcome = "missed"
FEW: Outcome = "not enough groups"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A limit and what was found of it. metric: None where these images do not give the figure.

    groups: those that the figure stands on, of a mean over classes those of the rarest. needed:
    about how many of them would show it; None where it is met or missed, or nobody can say.
    """

    limit: SiteLimit
    metric: Metric | None
    groups: int
    outcome: Outcome
    needed: int | None = None

    @property
    def passed(self) -> bool:
        """Whether it is met."""
        return self.outcome == MET

    def as_dict(self) -> dict[str, Any]:
        """Plain values; value and interval null where there is no figure."""
        found = self.metric
        return {
            "name": self.limit.figure,
            "bound": self.limit.bound,
            "limit": self.limit.limit,
            "value": found.value if found else None,
            "low": found.low if found else None,
            "high": found.high if found else None,
            "groups": self.groups,
            "needed": self.needed,
            "outcome": self.outcome,
            "passed": self.passed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherLimits:
    """Limits that the same site was judged by before. differences: from those to the present."""

    at: datetime
    who: str
    sha256: str
    differences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Whose images a model of a problem is tried on. images: content hash of all of them."""

    problem: str
    name: str
    images: str


def judge(evaluation: Evaluation, limits: SiteLimits) -> tuple[Judged, ...]:
    """Each limit, in the order of the file."""
    found = (*evaluation.metrics, *shares.of_decisions(evaluation))
    by_name = {metric.name: metric for metric in found}
    judged = []
    for limit in limits.limits:
        metric = by_name.get(limit.figure)
        judged.append(_judged(limit, metric, _groups(evaluation, metric)))
    return tuple(judged)


def fewest(limit: SiteLimit) -> int:
    """The groups without which a limit cannot be shown, even without one error among them."""
    if limit.figure in metrics.LOSSES:
        return metrics.FEWEST_GROUPS
    share = limit.limit if limit.bound == "least" else 1 - limit.limit
    # Where none disagrees the interval ends at TAIL ** (1 / groups): Clopper and Pearson.
    return max(metrics.FEWEST_GROUPS, math.ceil(math.log(intervals.TAIL) / math.log(share)))


def earlier(lake: Lake, site: Site, limits: SiteLimits) -> list[OtherLimits]:
    """Other limits that this site, or these very images, were judged by before, oldest first.

    limits: the present ones. Each other file is told once.
    """
    found: dict[str, OtherLimits] = {}
    for entry in journal.entries(lake, KIND):
        body = entry.body
        is_same = body["site"] == site.name or body["images"] == site.images
        if body["problem"] != site.problem or not is_same or body["limits_sha256"] == limits.sha256:
            continue
        found.setdefault(
            body["limits_sha256"],
            OtherLimits(
                at=entry.at,
                who=body["who"],
                sha256=body["limits_sha256"],
                differences=_differences(body["asked"], limits.limits),
            ),
        )
    return [*found.values()]


def by_figure(limits: Sequence[SiteLimit]) -> dict[str, str]:
    """Limits by figure, such as {"accuracy": "at least 0.8"}."""
    return {each.figure: f"at {each.bound} {each.limit:g}" for each in limits}


def _differences(before: Mapping[str, str], limits: Sequence[SiteLimit]) -> tuple[str, ...]:
    now = by_figure(limits)
    names = [*now, *(name for name in before if name not in now)]
    return tuple(
        f"{name}: {before.get(name, 'no limit')} before, {now.get(name, 'no limit')} now"
        for name in names
        if before.get(name) != now.get(name)
    )


def _groups(evaluation: Evaluation, metric: Metric | None) -> int:
    if metric is None:
        return 0
    of_class = _of_a_class(evaluation, metric.name)
    if of_class is None and metric.name not in metrics.OVERALL:
        return metric.groups  # of a share
    name, column = of_class or (metric.name, None)
    called, targets, groups = evaluation.called, evaluation.targets, evaluation.groups
    return metrics.stands_on(name, column, called, targets, groups, len(evaluation.classes))


def _of_a_class(evaluation: Evaluation, figure: str) -> tuple[str, int] | None:
    """Figure and number of the class, such as ("recall", 0); None of any other figure."""
    for name in metrics.OF_A_CLASS:
        label = figure.removeprefix(f"{name}_")
        if label != figure and label in evaluation.classes:
            return name, evaluation.classes.index(label)
    return None


def _judged(limit: SiteLimit, metric: Metric | None, groups: int) -> Judged:
    least_groups = fewest(limit)
    if metric is None or not groups:
        return Judged(limit=limit, metric=metric, groups=groups, outcome=FEW, needed=least_groups)
    if metric.mark == metrics.NARROW:
        least_groups = max(least_groups, metrics.NARROW_GROUPS)
    outcome, needed = MISSED, None
    if groups >= least_groups and limit.allows(limit.honest_end(metric)):
        outcome = MET
    elif not limit.allows(limit.best_end(metric)):
        outcome = MISSED  # however few the groups are
    elif groups < least_groups:
        outcome, needed = FEW, least_groups
    elif limit.allows(metric.value):
        outcome, needed = FEW, _needed(limit, metric, groups)
    return Judged(limit=limit, metric=metric, groups=groups, outcome=outcome, needed=needed)


def _needed(limit: SiteLimit, metric: Metric, groups: int) -> int | None:
    """About how many groups show a limit that the value keeps: an interval's width goes by 1/√n.

    On the scale on which it is symmetric: the logit of a share, the logarithm of a loss.
    """
    if metric.value in (0, limit.limit):
        return None
    scale = math.log if metric.name in metrics.LOSSES else logit
    value = scale(metric.value)
    ratio = (value - scale(limit.honest_end(metric))) / (value - scale(limit.limit))
    return max(groups + 1, math.ceil(groups * float(ratio) ** 2))
