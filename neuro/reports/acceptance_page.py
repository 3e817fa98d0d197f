"""Whether a model meets the limits of a site, on one page that can be printed and signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from neuro.evaluation import metrics, shares
from neuro.evaluation.evaluate import Evaluation
from neuro.promotion.acceptance import FEW, MET, MISSED, Judged, OtherLimits, Site
from neuro.promotion.site_limits import SiteLimits
from neuro.reports import render
from neuro.reports.evaluation_page import NAMED

_SHARES = {
    shares.ANSWERED: "Share answered",
    shares.IN_SCOPE: "Share in scope",
    shares.COVERED: "Sets with the true class",
    shares.WRONG_OF_ANSWERED: "Wrong among the answers",
}
_OF_A_CLASS = {
    "recall": "Recall",
    "precision": "Precision",
    "specificity": "Specificity",
    "f1": "F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity80": "Sensitivity at 80 % specificity",
    shares.COVERED: _SHARES[shares.COVERED],
}
_NAMES = {
    **{name: NAMED.get(name, name.replace("_", " ").capitalize()) for name in metrics.OVERALL},
    **_SHARES,
}
# As ``render.STATUS_WORDS``: a sign and a word each, for colour alone tells a printer nothing.
_OUTCOMES = {
    MET: ("fine", "\N{CHECK MARK} Met"),
    MISSED: ("serious", "\N{BLACK SQUARE} Not met"),
    FEW: ("look", "\N{BLACK UP-POINTING TRIANGLE} Not enough groups"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What stands beside the figures.

    images: what they are and what was left out. set_at: when these limits were first written down
    for the site. others: other limits that it was judged by before. package: its digest.
    """

    site: Site
    images: str
    limits: SiteLimits
    set_at: datetime
    others: Sequence[OtherLimits]
    who: str
    at: datetime
    package: str
    is_synthetic: bool


def build(evaluation: Evaluation, judged: Sequence[Judged], told: Told) -> str:
    """The page of an evaluation on a site's images."""
    by_outcome = {
        outcome: [in_words(each.limit.figure) for each in judged if each.outcome == outcome]
        for outcome in (MISSED, FEW)
    }
    return render.render(
        "acceptance.html",
        evaluation=evaluation,
        told=told,
        is_synthetic=told.is_synthetic,
        n_groups=len(set(evaluation.groups.tolist())),
        n_wrong=int((~evaluation.is_right).sum()),
        passed=all(each.passed for each in judged),
        missed=by_outcome[MISSED],
        few=by_outcome[FEW],
        rows=[_row(each) for each in judged],
    )


def in_words(figure: str) -> str:
    """A figure's name as a person reads it."""
    if figure in _NAMES:
        return _NAMES[figure]
    for name, words in _OF_A_CLASS.items():
        if figure.startswith(f"{name}_"):
            return f"{words}: {figure.removeprefix(f'{name}_')}"
    return figure


def _row(each: Judged) -> dict[str, Any]:
    found, limit = each.metric, each.limit
    status, outcome = _OUTCOMES[each.outcome]
    return {
        "figure": in_words(limit.figure),
        "limit": f"at {limit.bound} {limit.limit:g}",
        "value": f"{found.value:.3f}" if found else "none",
        "interval": f"{found.low:.3f} to {found.high:.3f}" if found else "",
        "groups": each.groups,
        "status": status,
        "outcome": outcome,
        "needed": f"about {each.needed:,} needed" if each.needed else "",
    }
