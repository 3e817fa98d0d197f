"""Scores with honest intervals: whole groups (patients, lesions) are resampled, not images.

Percentile cluster bootstrap: Efron and Tibshirani (1993), chapter 13; resampling clusters whole:
Field and Welsh (2007), doi:10.1111/j.1467-9868.2007.00593.x. Where every resample agrees (one
group, or not one error in the set) resampling cannot show what it has not seen; the interval is
then as wide as the exact binomial bound of Clopper and Pearson (1934) for that many groups.

Classes without a sample have no recall and no F1: macro figures are means over the classes
*present among the targets*, and every figure of all classes names those that are not. The
``recall_<class>`` of an absent class is left out; so are, where a single class is there and nothing
is told apart, ``balanced_accuracy``, ``macro_f1``, ``auroc`` and ``sensitivity80_<class>``. A
resample without the class does not count for that figure's interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuro.errors import ConfigError
from neuro.sample import Metric

TAIL = 0.025  # each side of a 95 % interval
SPECIFICITY = 0.80  # at which a sensitivity is told
OF_A_CLASS = ("recall", "sensitivity80")  # one figure for each class; the others are of all
MACRO = ("balanced_accuracy", "macro_f1", "auroc")  # means over classes: of two at least
RESAMPLES, SEED = 1000, 0
CHUNK_CELLS = 4_000_000  # weights held at once: 32 MB of float64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def score(
    probabilities: Floats,
    targets: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    resamples: int = RESAMPLES,
) -> list[Metric]:
    """Accuracy, macro-F1, AUROC and each class's recall and sensitivity, with 95 % intervals.

    balanced_accuracy: the mean recall of the classes that are there. sensitivity80_<class>: share
    of the class above the lowest threshold that at least 80 % of all others stay below, found anew
    in each resample. probabilities: (n, k). targets: (n,) class index. groups: (n,) str. AUROC is
    that of class 1 for two classes, else the macro one-versus-rest mean. n and groups of a figure
    of a class count that class.
    Raises ConfigError for empty, misshapen or unlabelled input.
    """
    targets, groups, k = _checked(probabilities, targets, groups)
    if len(classes) != k:
        raise ConfigError(f"{k} columns of probabilities, but classes are {tuple(classes)}")
    tables, group_of = _per_group(probabilities, targets, groups)
    points = _figures(probabilities, targets, tables.sum(axis=0)[None], np.ones((1, len(targets))))
    over = over_classes(targets, classes)
    if len(np.unique(targets)) < 2:
        points = {name: point for name, point in points.items() if name not in MACRO}
    draws: dict[str, list[Floats]] = {name: [] for name in points}
    for weights in _weights(len(tables), len(targets), resamples):
        resampled = np.tensordot(weights, tables, axes=1)
        chunk = _figures(probabilities, targets, resampled, weights[:, group_of])
        for name, of_name in draws.items():
            if name in MACRO:
                chunk[name][_has_one_class(resampled)] = np.nan
            of_name.append(chunk[name])
    metrics = []
    for name, point in points.items():
        spread = np.concatenate(draws[name])
        for column, value in enumerate(point[0]):
            if not np.isfinite(value):
                continue
            label, counted, about = name, np.ones(len(targets), dtype=bool), over
            if name in OF_A_CLASS:
                label, counted, about = f"{name}_{classes[column]}", targets == column, ""
            n, n_groups = int(counted.sum()), len(np.unique(groups[counted]))
            metric = _metric(label, value, spread[:, column], n, n_groups)
            metrics.append(replace(metric, classes=about))
    return metrics


def absent(targets: ArrayLike, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that no target is, in their order. targets: (n,) class index, -1 for none."""
    present = set(np.unique(np.asarray(targets, dtype=np.int64)).tolist())
    return tuple(name for number, name in enumerate(classes) if number not in present)


def over_classes(targets: ArrayLike, classes: Sequence[str]) -> str:
    """Over how many classes figures of these targets are, and which are not there; "" for all."""
    missing = absent(targets, classes)
    if not missing:
        return ""
    n_present = len(classes) - len(missing)
    return f"{n_present} of {len(classes)} classes, none of {', '.join(missing)}"


def difference(
    name: str,
    probabilities: tuple[Floats, Floats],
    targets: ArrayLike,
    groups: ArrayLike,
) -> Metric:
    """``name`` of the challenger minus that of the champion, on the same resampled groups.

    name: "accuracy" or "macro_f1". probabilities: (challenger, champion), each (n, k).
    """
    if name not in ("accuracy", "macro_f1"):
        raise ConfigError(f"difference knows accuracy and macro_f1, not {name!r}")
    challenger, champion = probabilities
    if challenger.shape != champion.shape:
        raise ConfigError(f"two shapes to compare: {challenger.shape} and {champion.shape}")
    targets, groups, _ = _checked(challenger, targets, groups)
    ours, theirs = (_per_group(p, targets, groups)[0] for p in probabilities)
    is_macro = name in MACRO and len(np.unique(targets)) > 1
    draws = []
    for weights in _weights(len(ours), len(targets), RESAMPLES):
        tables = [np.tensordot(weights, each, axes=1) for each in (ours, theirs)]
        chunk = _scores(tables[0])[name] - _scores(tables[1])[name]
        if is_macro:
            chunk[_has_one_class(tables[0])] = np.nan
        draws.append(chunk)
    point = _scores(ours.sum(axis=0)[None])[name] - _scores(theirs.sum(axis=0)[None])[name]
    spread = np.concatenate(draws)[:, 0]
    return _metric(name, point[0, 0], spread, len(targets), len(ours), lowest=-1.0)


def confusion(targets: Ints, predicted: Ints, k: int) -> Ints:
    """Counts, (k, k) int64: a row per true class, a column per predicted class."""
    return np.bincount(targets * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64)


def brief(answers: Ints, targets: Ints, k: int) -> tuple[float, float]:
    """Accuracy, and the mean F1 of the classes among the targets; without intervals.

    Of a single class it is half its F1: nothing was told apart, and the next epoch must compare.
    """
    table = confusion(targets, answers, k)
    correct, asked = np.diag(table), table.sum(axis=1)
    f1 = 2 * correct / np.maximum(asked + table.sum(axis=0), 1)
    macro_f1 = f1[asked > 0].sum() / max(2, np.count_nonzero(asked))
    return float(correct.sum() / asked.sum()), float(macro_f1)


def _checked(
    probabilities: Floats, targets: ArrayLike, groups: ArrayLike
) -> tuple[Ints, NDArray[np.str_], int]:
    numbers, names = np.asarray(targets, dtype=np.int64), np.asarray(groups, dtype=np.str_)
    if len(numbers) == 0:
        raise ConfigError("no samples to score: the split has no labelled sample")
    if probabilities.ndim != 2 or not len(probabilities) == len(numbers) == len(names):
        raise ConfigError(
            f"probabilities {probabilities.shape}, targets {numbers.shape} and groups "
            f"{names.shape} must have one row per sample"
        )
    if not np.isfinite(probabilities).all():
        raise ConfigError("probabilities hold NaN or infinity; the model's outputs are broken")
    k = probabilities.shape[1]
    if numbers.min() < 0 or numbers.max() >= k:
        raise ConfigError(f"targets must be 0 to {k - 1}; score labelled samples only")
    return numbers, names, k


def _per_group(
    probabilities: Floats, targets: Ints, groups: NDArray[np.str_]
) -> tuple[Floats, Ints]:
    """Confusion counts of each group, (g, k, k), and the group number of each sample, (n,)."""
    names, group_of = np.unique(groups, return_inverse=True)
    k = probabilities.shape[1]
    cells = (group_of * k + targets) * k + probabilities.argmax(axis=1)
    counts = np.bincount(cells, minlength=len(names) * k * k).astype(np.float64)
    return counts.reshape(len(names), k, k), group_of


def _has_one_class(tables: Floats) -> NDArray[np.bool_]:
    """Which resamples, (m, k, k), drew samples of one class alone: nothing is told apart there."""
    return np.asarray((tables.sum(axis=2) > 0).sum(axis=1) < 2)


def _weights(n_groups: int, n_samples: int, resamples: int) -> Iterator[Floats]:
    """How often each group was drawn, (some resamples, g), a chunk at a time."""
    rng = np.random.default_rng(SEED)
    step = max(1, CHUNK_CELLS // n_samples)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(n_groups, size=(size, n_groups))
        drawn += np.arange(size)[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups)
        yield counts.reshape(size, n_groups).astype(np.float64)


def _figures(
    probabilities: Floats, targets: Ints, tables: Floats, weights: Floats
) -> dict[str, Floats]:
    """Every figure of b resamples, (b, 1) or (b, k).

    tables: (b, k, k) confusion counts of each. weights: (b, n), how often each sample was drawn.
    """
    return _scores(tables) | {
        "auroc": _auroc(probabilities, targets, weights),
        "sensitivity80": _sensitivity(probabilities, targets, weights),
    }


def _scores(tables: Floats) -> dict[str, Floats]:
    """Both accuracies and macro-F1, (b, 1), and recalls, (b, k), of confusions, (b, k, k)."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    support, called = tables.sum(axis=2), tables.sum(axis=1)
    present = support > 0
    recall = np.divide(hits, support, out=np.full_like(hits, np.nan), where=present)
    f1 = np.divide(2 * hits, support + called, out=np.zeros_like(hits), where=present)
    return {
        "accuracy": (hits.sum(axis=1) / support.sum(axis=1))[:, None],
        "balanced_accuracy": np.nanmean(recall, axis=1, keepdims=True),
        "macro_f1": (f1.sum(axis=1) / present.sum(axis=1))[:, None],
        "recall": recall,
    }


def _sensitivity(probabilities: Floats, targets: Ints, weights: Floats) -> Floats:
    """Weighted sensitivity of each class at SPECIFICITY among the others, (b, k)."""
    classes = range(probabilities.shape[1])
    columns = [_sensitivity_of(probabilities[:, k], targets == k, weights) for k in classes]
    return np.stack(columns, axis=1)


def _sensitivity_of(scores: Floats, is_class: NDArray[np.bool_], weights: Floats) -> Floats:
    """Sensitivity of one class, (b,); NaN where the class or all others have no weight.

    A threshold is a score: samples up to it are not called the class, those above it are. Taken is
    the lowest one that enough of the others do not exceed.
    """
    order = np.argsort(scores, kind="stable")
    # A threshold never parts equal scores, so it stands at the last sample of each score.
    thresholds = np.flatnonzero(np.diff(scores[order], append=np.inf) > 0)
    weights, is_class = weights[:, order], is_class[order]
    others_up_to = np.cumsum(weights * ~is_class, axis=1)[:, thresholds]
    class_up_to = np.cumsum(weights * is_class, axis=1)[:, thresholds]
    others, members = others_up_to[:, -1], class_up_to[:, -1]
    is_enough = others_up_to >= (SPECIFICITY - 1e-12) * others[:, None]
    lowest = is_enough.argmax(axis=1)
    missed = class_up_to[np.arange(len(weights)), lowest]
    return 1 - _ratio(missed, members, where=(members > 0) & (others > 0))


def _auroc(probabilities: Floats, targets: Ints, weights: Floats) -> Floats:
    """Weighted AUROC, (b, 1), mean over the classes that have positives and negatives."""
    k = probabilities.shape[1]
    classes = [1] if k == 2 else range(k)
    of_classes = [_auroc_of(probabilities[:, k], targets == k, weights) for k in classes]
    values = np.stack(of_classes, axis=1)
    n_known = np.isfinite(values).sum(axis=1)
    return _ratio(np.nansum(values, axis=1), n_known, where=n_known > 0)[:, None]


def _auroc_of(scores: Floats, is_class: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUROC of one class against the others, (b,), NaN where either has no weight.

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
    return _ratio(won, pairs, where=pairs > 0)


def _ratio(part: Floats, whole: Floats | Ints, where: NDArray[np.bool_]) -> Floats:
    """Part by whole, NaN elsewhere."""
    ratio: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=where)
    return ratio


def _metric(
    name: str, value: float, draws: Floats, n: int, groups: int, *, lowest: float = 0.0
) -> Metric:
    """A figure with its 95 % interval from the draws of it, (b,)."""
    spread = draws[np.isfinite(draws)]
    low, high = np.quantile(spread, [TAIL, 1 - TAIL])
    if np.ptp(spread) < 1e-12:
        slack = 1 - TAIL ** (1 / groups)
        low, high = max(lowest, value - slack), min(1.0, value + slack)
    return Metric(
        name=name, value=float(value), low=float(low), high=float(high), n=n, groups=groups
    )
