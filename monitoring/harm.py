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

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from monitoring.windows import Observed

# Of what may be staked at most; how much pays best depends on how large the harm is.
_STAKES = np.geomspace(0.03, 0.25, 4)
_MOST = 600.0  # logarithm of wealth: more is no number
_FIRST, _FLAGGED, _EACH = 1 / 3, 1 / 3, 1 / 3  # of the coin, by when the bets begin
_SURE_OF_WINDOW = 0.95  # of the error rate of one window
_LATELY = 3  # windows, the last that were drawn
_SURE = 0.90  # of the reference's own error rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The labelled samples of one window's audit, in the order they were drawn.

    errors: (n,) float64, 0 where the answer was right, else the sample's weight. weights: (n,)
    float64, of all of them, None for 1 each. is_flagged: whether something about the window had
    changed, by signals that need no labels.
    """

    errors: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    is_flagged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """wealth: of who bet against the model, from 1. n: labels, of so many windows.

    allowed: the error rate that the reference does not exclude. recent: the weighted error rate of
    the last window that has a label, NaN for none. measured: what settles a doubt, if anything.
    """

    wealth: float
    n: int
    windows: int
    allowed: float
    recent: float
    measured: "Measured | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The labels of one window that had changed. high: upper end of their weighted error rate.

    Of a one-sided interval at 95 %.
    """

    n: int
    high: float


def evidence(audits: Sequence[Audit], allowed: float, enough: int = 1) -> Evidence:
    """What the audits of a model say together, the oldest first.

    allowed: an error rate above 0 and below 1. One without errors makes nobody rich. enough: labels
    of a window, to measure it by itself.
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
        recent=float(labelled[-1].errors.mean()) if labelled else float("nan"),
        measured=_measured(audits, enough),
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
    return _upper(rate, worth, float(n), _SURE)


def _upper(rate: float, worth: float, most: float, sure: float) -> float:
    """Clopper and Pearson's upper end for a rate over as many independent images, above 0.

    worth: at least 1 and at most ``most`` count.
    """
    n = min(max(worth, 1.0), most)
    return float(beta.ppf(sure, rate * n + 1, max((1 - rate) * n, 1e-9)))


def _measured(audits: Sequence[Audit], enough: int) -> Measured | None:
    """The last window with enough labels, if it and all drawn after it had changed, and lately."""
    for audit in reversed(audits[-_LATELY:]):
        if not audit.is_flagged:
            return None
        if len(audit.errors) >= enough:
            return _of_window(audit)
    return None


def _of_window(audit: Audit) -> Measured:
    """Of one window's errors, each of a group of its own; few that weigh much are worth less."""
    errors, n = audit.errors, len(audit.errors)
    weights = np.ones(n) if audit.weights is None else audit.weights
    rate = min(float(errors.mean()), 1.0)
    variance = float(errors.var(ddof=1)) / n if n > 1 else 0.0
    most = float(weights.sum() ** 2 / (weights**2).sum())
    worth = rate * (1 - rate) / variance if variance > 0 else most
    return Measured(n=n, high=_upper(rate, worth, most, _SURE_OF_WINDOW))


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
