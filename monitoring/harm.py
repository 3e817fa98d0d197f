"""Is a model in service wrong more often than it was? Judged by betting, at any time.

The model is taken to be as good as it was shown to be, in each window. Somebody with one coin bets
against that at each label, in proportion to how far its error exceeds what the model's own
reference allows. While the model is that good, the bettor's wealth does not grow on average, and
the chance that it is ever 100 is at most 1 % (Ville's inequality), however often one looks and
whenever labels come, if when they come has nothing to do with what they say. So labels of all weeks
add up, and no look costs anything: an e-process (Waudby-Smith and Ramdas, arXiv:2010.09686; Ramdas
et al., arXiv:2210.01948).

The coin is shared out before the first label: over how much is staked, and over when the bets
begin, for wealth that was lost in good weeks finds a later harm late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from monitoring.windows import Observed

# Of what may be staked at most; how much pays best depends on how large the harm is.
_STAKES = np.geomspace(0.03, 0.25, 4)
_MOST = 600.0  # logarithm of wealth: more is no number
_FIRST, _FLAGGED, _EACH = 1 / 3, 1 / 3, 1 / 3  # of the coin, by when the bets begin
_SURE_OF_RECENT = 0.95  # of the error rate of one window
_NO_WINDOW: dict[str, Any] = {"recent": float("nan")}
_SURE = 0.90  # of the reference's own error rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The labelled samples of one window's audit, in the order they were drawn.

    errors: (n,) float64, 0 where the answer was right, else the sample's weight. is_flagged:
    whether something about the window had changed, by signals that need no labels.
    """

    errors: NDArray[np.float64]
    is_flagged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """wealth: of who bet against the model, from 1. n: labels, of so many windows.

    allowed: the error rate that the reference does not exclude. recent: the weighted error rate of
    the last window that has a label, NaN for none; recent_high: the upper end of its one-sided 95 %
    interval, recent_n: labels of that window; is_flagged: whether that had changed.
    """

    wealth: float
    n: int
    windows: int
    allowed: float
    recent: float
    recent_high: float = float("nan")
    recent_n: int = 0
    is_flagged: bool = False


def evidence(audits: Sequence[Audit], allowed: float) -> Evidence:
    """What the audits of a model say together, the oldest first.

    allowed: an error rate above 0 and below 1. One without errors makes nobody rich.
    """
    labelled = [audit for audit in audits if len(audit.errors)]
    errors = np.concatenate([audit.errors for audit in audits]) if audits else np.empty(0)
    stakes = _STAKES[:, None] / allowed
    gains = np.log1p(stakes * (errors - allowed))  # (stakes, n); never below a stake of all
    totals = gains.sum(axis=1)
    wealth, kept = 0.0, 1.0
    for share, start in _starts(audits):
        since = totals - gains[:, :start].sum(axis=1)
        wealth += share * float(np.exp(np.minimum(since, _MOST)).mean())
        kept -= share
    return Evidence(
        wealth=wealth + kept,
        n=len(errors),
        windows=len(labelled),
        allowed=allowed,
        **_recent(labelled[-1].errors, labelled[-1].is_flagged) if labelled else _NO_WINDOW,
    )


def allowed_error(reference: Observed) -> float:
    """The highest error rate that the reference does not exclude, above 0 and below 1.

    By image, as images are audited, and with the spread of whole groups: one-sided interval at 90 %
    of Clopper and Pearson for as many independent images as have that spread (Korn and Graubard
    1998, Survey Methodology 24). `python -m bench drift` measures what that costs.
    """
    labelled = reference.labelled()
    errors, n = 1 - labelled.correct, labelled.n
    rate = float(errors.mean())
    _, codes = np.unique(labelled.groups, return_inverse=True)
    excess = np.bincount(codes, errors - rate)
    variance = float((excess**2).sum()) * len(excess) / max(len(excess) - 1, 1) / n**2
    worth = rate * (1 - rate) / variance if variance > 0 else float(len(excess))
    return _upper(rate, min(max(worth, 1.0), float(n)), _SURE)


def _upper(rate: float, worth: float, sure: float) -> float:
    """Clopper and Pearson's upper end for a rate over as many independent images, above 0."""
    return float(beta.ppf(sure, rate * worth + 1, max((1 - rate) * worth, 1e-9)))


def _recent(errors: NDArray[np.float64], is_flagged: bool) -> dict[str, Any]:
    """Of one window's weighted errors, (n,) with n above 0, each of a group of its own."""
    n, rate = len(errors), min(float(errors.mean()), 1.0)
    variance = float(errors.var(ddof=1)) / n if n > 1 else 0.0
    worth = rate * (1 - rate) / variance if variance > 0 else float(n)
    high = _upper(rate, min(max(worth, 1.0), float(n)), _SURE_OF_RECENT)
    return {
        "recent": float(errors.mean()),
        "recent_high": high,
        "recent_n": n,
        "is_flagged": is_flagged,
    }


def _starts(audits: Sequence[Audit]) -> list[tuple[float, int]]:
    """Which share of the coin is bet from which label on; the shares are below 1 together.

    They go by the windows that were drawn, with labels or without, so that labels may come late.
    """
    at = np.cumsum([0, *(len(audit.errors) for audit in audits)])
    starts = [(_FIRST, 0)]
    flagged = [number for number, audit in enumerate(audits) if audit.is_flagged]
    for shared, windows in ((_FLAGGED, flagged), (_EACH, range(1, len(audits)))):
        # 1/2, 1/6, 1/12, ...: of however many, 1 together
        starts += [
            (shared / (rank * (rank + 1)), int(at[number]))
            for rank, number in enumerate(windows, 1)
        ]
    return starts
