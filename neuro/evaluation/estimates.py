"""The figures of an evaluation, each defined once, for many weightings of the samples at a time.

Every function takes weights, (b, n): how often each sample counts in each of b draws, and gives
(b, 1), or (b, k) of the k classes, NaN where a draw does not have what the figure needs. Of one
weighting of ones each equals scikit-learn's figure of that name where it has one
(tests/neuro/evaluation/test_estimates.py).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SPECIFICITY = 0.80  # at which a sensitivity is told
BINS = 15  # of a calibration error, of equal width (Guo et al., arXiv:1706.04599)
_LEAST = float(np.finfo(np.float64).eps)  # probability in a logarithm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def of_tables(tables: Floats) -> dict[str, Floats]:
    """Figures of hard answers. tables: (b, k, k) counts, a row per true class.

    A class that is never named has precision 0, as has one that is never right. Macro figures are
    means over the classes that are there.
    """
    hits = np.diagonal(tables, axis1=1, axis2=2)
    support, called = tables.sum(axis=2), tables.sum(axis=1)
    total = support.sum(axis=1, keepdims=True)
    present, others = support > 0, total - support
    recall = _ratio(hits, support, present)
    precision = np.where(present, _ratio(hits, called, called > 0, otherwise=0.0), np.nan)
    f1 = _ratio(2 * hits, support + called, present)
    # What is neither of the class nor called it, of all that is not of the class.
    specificity = _ratio(others - (called - hits), others, present & (others > 0))
    return {
        "accuracy": hits.sum(axis=1, keepdims=True) / total,
        "balanced_accuracy": _mean(recall),
        "macro_precision": _mean(precision),
        "macro_specificity": _mean(specificity),
        "macro_f1": _mean(f1),
        "recall": recall,
        "precision": precision,
        "specificity": specificity,
        "f1": f1,
    }


def of_ranks(probabilities: Floats, targets: Ints, weights: Floats) -> dict[str, Floats]:
    """Areas under the curves, of each class against the others and over the classes.

    Over two classes they are those of class 1, else the mean of the classes that are there.
    """
    auroc = _of_each(_auroc, probabilities, targets, weights)
    auprc = _of_each(_auprc, probabilities, targets, weights)
    of_all = slice(1, 2) if probabilities.shape[1] == 2 else slice(None)
    return {
        "auroc": _mean(auroc[:, of_all]),
        "auprc": _mean(auprc[:, of_all]),
        "auroc_of": auroc,
        "auprc_of": auprc,
    }


def sensitivity(probabilities: Floats, targets: Ints, weights: Floats) -> Floats:
    """Sensitivity of each class at SPECIFICITY among the others, its threshold found anew, (b, k).

    A threshold is a score: samples up to it are not called the class, those above it are. Taken is
    the lowest one that enough of the others do not exceed.
    """
    return _of_each(_sensitivity, probabilities, targets, weights)


def of_probabilities(
    probabilities: Floats, targets: Ints, weights: Floats, *, called: Ints
) -> dict[str, Floats]:
    """What the probabilities are worth as such: losses, 0 at best.

    brier: squared distance to the truth, half of it for two classes (scikit-learn's scale). ece:
    distance of confidence, the probability of what is called, (n,) class index, and share right,
    over bins of it. classwise_ece: the same of each class's probability, averaged over the classes
    (Kull et al., arXiv:1910.12656).
    """
    n, k = probabilities.shape
    truth = np.eye(k)[targets]
    squared = ((probabilities - truth) ** 2).sum(axis=1) * (0.5 if k == 2 else 1.0)
    of_truth = np.clip(probabilities[np.arange(n), targets], _LEAST, 1 - _LEAST)
    sure = probabilities[np.arange(n), called]
    total = weights.sum(axis=1, keepdims=True)
    of_classes = [_bin_gaps(probabilities[:, c], truth[:, c], weights) for c in range(k)]
    losses = np.stack([squared, -np.log(of_truth)], axis=1)
    brier, log_loss = np.split(weights @ losses / total, 2, axis=1)
    return {
        "brier": brier,
        "log_loss": log_loss,
        "ece": _bin_gaps(sure, (called == targets).astype(np.float64), weights)[:, None] / total,
        "classwise_ece": np.mean(of_classes, axis=0)[:, None] / total,
    }


def bins(scores: Floats) -> Ints:
    """The bin of each probability, (n,), 0 to BINS - 1; a border belongs to the bin below it."""
    numbers: Ints = np.clip(np.ceil(scores * BINS) - 1, 0, BINS - 1).astype(np.int64)
    return numbers


def _bin_gaps(scores: Floats, is_so: Floats, weights: Floats) -> Floats:
    """Sum over bins of how far the sum of scores is from the number that is so, weighted, (b,).

    Over the total weight it is a calibration error.
    """
    gaps = np.zeros((len(scores), BINS))
    gaps[np.arange(len(scores)), bins(scores)] = scores - is_so
    total: Floats = np.abs(weights @ gaps).sum(axis=1)
    return total


def _of_each(
    figure: Callable[[Floats, NDArray[np.bool_], Floats], Floats],
    probabilities: Floats,
    targets: Ints,
    weights: Floats,
) -> Floats:
    """A figure of each class against the others, (b, k)."""
    k = probabilities.shape[1]
    return np.stack([figure(probabilities[:, c], targets == c, weights) for c in range(k)], axis=1)


def _auroc(scores: Floats, is_class: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUROC of one class, (b,).

    Mann and Whitney's U: the weight of all pairs whose member of the class has the higher score,
    ties counted half, as a share of the weight of all pairs.
    """
    order = np.argsort(scores, kind="stable")
    scores, is_class, weights = scores[order], is_class[order], weights[:, order]
    others_before = np.zeros((len(weights), len(scores) + 1))  # the first so many samples
    np.cumsum(weights * ~is_class, axis=1, out=others_before[:, 1:])
    lower = others_before[:, np.searchsorted(scores, scores[is_class], side="left")]
    lower_or_equal = others_before[:, np.searchsorted(scores, scores[is_class], side="right")]
    members = weights[:, is_class]
    won = (members * (lower + lower_or_equal)).sum(axis=1) / 2
    pairs = members.sum(axis=1) * others_before[:, -1]
    return _ratio(won, pairs, pairs > 0)


def _auprc(scores: Floats, is_class: NDArray[np.bool_], weights: Floats) -> Floats:
    """Average precision of one class, (b,): precision at each threshold by the recall it adds."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf) < 0)  # of each distinct score
    weights, is_class = weights[:, order], is_class[order]
    called = np.cumsum(weights, axis=1)[:, last]
    right = np.cumsum(weights * is_class, axis=1)[:, last]
    added = np.diff(right, axis=1, prepend=0.0)
    area = (added * _ratio(right, called, called > 0, otherwise=0.0)).sum(axis=1)
    members, everyone = right[:, -1], called[:, -1]
    return _ratio(area, members, (members > 0) & (everyone > members))


def _sensitivity(scores: Floats, is_class: NDArray[np.bool_], weights: Floats) -> Floats:
    """See ``sensitivity``; of one class, (b,)."""
    order = np.argsort(scores, kind="stable")
    # A threshold never parts equal scores, so it stands at the last sample of each score.
    thresholds = np.flatnonzero(np.diff(scores[order], append=np.inf) > 0)
    weights, is_class = weights[:, order], is_class[order]
    others_up_to = np.cumsum(weights * ~is_class, axis=1)[:, thresholds]
    class_up_to = np.cumsum(weights * is_class, axis=1)[:, thresholds]
    others, members = others_up_to[:, -1], class_up_to[:, -1]
    is_enough = others_up_to >= (SPECIFICITY - 1e-12) * others[:, None]
    missed = class_up_to[np.arange(len(weights)), is_enough.argmax(axis=1)]
    return 1 - _ratio(missed, members, (members > 0) & (others > 0))


def _mean(of_classes: Floats) -> Floats:
    """Over the classes that have the figure, (b, 1)."""
    n_known = np.isfinite(of_classes).sum(axis=1, keepdims=True)
    return _ratio(np.nansum(of_classes, axis=1, keepdims=True), n_known, n_known > 0)


def _ratio(
    part: Floats, whole: Floats | Ints, where: NDArray[np.bool_], otherwise: float = np.nan
) -> Floats:
    """Part by whole where that can be said, another value elsewhere."""
    share: Floats = np.divide(part, whole, out=np.full(part.shape, otherwise), where=where)
    return share
