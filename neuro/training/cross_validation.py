"""What the folds of a cross-validation say together."""

from collections.abc import Sequence
from statistics import fmean, stdev

from neuro.sample import Metric

SHOWN = ("accuracy", "macro_f1", "auroc")


def over_folds(folds: Sequence[Sequence[Metric]]) -> dict[str, dict[str, float]]:
    """Mean and deviation of each shown metric that every fold has."""
    by_fold = [{metric.name: metric.value for metric in metrics} for metrics in folds]
    result = {}
    for name in SHOWN:
        values = [fold[name] for fold in by_fold if name in fold]
        if len(values) == len(by_fold):
            result[name] = {"mean": fmean(values), "deviation": stdev(values)}
    return result
