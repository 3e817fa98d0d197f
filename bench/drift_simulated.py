"""The drift verdict on simulated figures, beside Evidently's defaults, on the same windows."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from monitoring import verdicts, weekly_report
from monitoring.windows import Observed
from neuro.features import descriptors
from neuro.promotion.drift_policy import DriftPolicy

CLASSES = ("a", "b", "c", "d")
Judge = Callable[[Observed, Observed], dict[str, bool]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One kind of period: how many groups each side has, and their mean size."""

    name: str
    reference_groups: int
    window_groups: int
    group_size: float


SCENES = (
    Scene(name="singles", reference_groups=300, window_groups=300, group_size=1),
    Scene(
        name="groups of 1-20, window larger", reference_groups=60, window_groups=180, group_size=4
    ),
    Scene(name="few groups", reference_groups=40, window_groups=40, group_size=6),
)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench drift_simulated", description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="windows of each kind and scene")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    methods: dict[str, Judge] = {
        "neuro": _neuro,
        "evidently defaults": _evidently,
        "KS per column": _naive,
    }
    print(f"{options.trials} windows each; half of the groups are labelled; shares of windows")
    print(f"{'scene':32}{'method: what alarms':46}{'no shift':>9}{'shifted':>9}{'s/window':>10}")
    for scene in SCENES:
        alarms, seconds = _run(scene, methods, options.trials, options.seed)
        for (method, alarm), (quiet, shifted) in alarms.items():
            cost = seconds[method] / (2 * options.trials)
            label = f"{method}: {alarm}"
            print(
                f"{scene.name:32}{label:46}{quiet / options.trials:9.3f}"
                f"{shifted / options.trials:9.3f}{cost:10.3f}"
            )


def _run(
    scene: Scene, methods: dict[str, Judge], trials: int, seed: int
) -> tuple[dict[tuple[str, str], list[int]], dict[str, float]]:
    """Alarms [without, with a shift] of every method, turn by turn on the same windows."""
    rng = np.random.default_rng(seed)
    alarms: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    seconds: dict[str, float] = defaultdict(float)
    for _ in range(trials):
        for shift in (0, 1):
            reference = period(scene.reference_groups, scene.group_size, rng)
            window = period(scene.window_groups, scene.group_size, rng, shift=0.6 * shift)
            half = window.groups.astype(int) % 2 == 0
            window = replace(window, correct=np.where(half, window.correct, np.nan))
            for method, judge in methods.items():
                start = time.perf_counter()
                found = judge(reference, window)
                seconds[method] += time.perf_counter() - start
                for alarm, is_raised in found.items():
                    alarms[method, alarm][shift] += is_raised
    return alarms, seconds


def period(n_groups: int, group_size: float, rng: Generator, *, shift: float = 0.0) -> Observed:
    """A simulated period: images of a group resemble each other, and class 2 has larger groups.

    shift: standard deviations by which two descriptors move; the model's evidence shrinks with it.
    """
    label = rng.integers(len(CLASSES), size=n_groups)
    sizes = np.minimum(rng.geometric(1 / group_size, n_groups) * np.where(label == 2, 2, 1), 20)
    if group_size == 1:
        sizes = np.ones(n_groups, np.int64)
    group = np.repeat(np.arange(n_groups), sizes)

    def effect(columns: int) -> NDArray[np.float64]:
        """Normal noise, 70 % of whose variance is the group's: (n, columns)."""
        own = rng.normal(0, np.sqrt(0.3), (len(group), columns))
        effects: NDArray[np.float64] = rng.normal(0, np.sqrt(0.7), (n_groups, columns))[group] + own
        return effects

    mixing = np.random.default_rng(7).normal(size=(3, len(descriptors.NAMES)))
    figures = effect(3) @ mixing / 2 + 0.6 * effect(len(descriptors.NAMES))
    figures[:, :2] += shift
    evidence = (3.6 - 2 * shift) * np.eye(len(CLASSES))[label[group]] + effect(len(CLASSES))
    odds = np.exp(evidence)
    return Observed(
        groups=group.astype(str),
        descriptors=np.exp(figures / 2).round(3).astype(np.float64),
        features=evidence,
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        confidence=(odds / odds.sum(axis=1, keepdims=True)).max(axis=1),
        correct=(evidence.argmax(axis=1) == label[group]).astype(np.float64),
    )


def _neuro(reference: Observed, window: Observed) -> dict[str, bool]:
    verdict = verdicts.judge(
        reference, window, window="window", reference_name="reference", policy=DriftPolicy()
    )
    found = {signal.name: signal.alarm for signal in verdict.signals}
    return found | {
        "verdict not steady": verdict.verdict != "steady",
        "verdict retrain": verdict.verdict == "retrain",
    }


def _evidently(reference: Observed, window: Observed) -> dict[str, bool]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import DriftedColumnsCount

    before, now = (weekly_report.table(side, CLASSES) for side in (reference, window))
    definition = DataDefinition(numerical_columns=list(before.columns))
    # The preset's own count with its own defaults, without the pictures: they take seconds.
    snapshot = Report([DriftedColumnsCount()]).run(
        Dataset.from_pandas(now, data_definition=definition),
        Dataset.from_pandas(before, data_definition=definition),
    )
    drifted = snapshot.dict()["metrics"][0]["value"]
    return {"any column": drifted["count"] > 0, "half of the columns": drifted["share"] >= 0.5}


def _naive(reference: Observed, window: Observed) -> dict[str, bool]:
    before, now = (weekly_report.table(side, CLASSES) for side in (reference, window))
    p_values = [ks_2samp(before[name], now[name]).pvalue for name in before.columns]
    return {"any, Bonferroni at 0.02": min(p_values) < 0.02 / len(p_values)}
