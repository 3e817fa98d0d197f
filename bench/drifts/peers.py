"""What else watches the same windows: Evidently, a classifier two-sample test, MAPIE.

Each says only whether it alarms.
"""

import importlib
import importlib.util
import sys
import sysconfig
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import binomtest

from monitoring import weekly_report
from monitoring.windows import Observed

Alarms = Callable[[Observed, Observed], dict[str, bool]]
TESTS = (  # of each column, with the threshold: some of Evidently's own
    ("ks", 0.05),
    ("ks", 0.001),
    ("wasserstein", 0.1),
    ("wasserstein", 0.3),
    ("jensenshannon", 0.2),
    ("psi", 0.25),
)
SHARES = (0.01, 0.2, 0.35, 0.5)  # of the columns that must drift
MOST_QUIET = 0.1  # false alarms of the best setting, on the windows that choose it
C2ST = "classifier two-sample, p < 0.01"
ANY, HALF = "Evidently, any column", "Evidently, half of columns"
_FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Evidently's test of each column, and the share of columns that must drift."""

    test: str
    threshold: float
    share: float

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"Evidently, {self.test} {self.threshold:g}, {self.share:.0%}"


def defaults(reference: Observed, window: Observed) -> dict[str, bool]:
    """Evidently's data drift preset as it comes."""
    share = drifted(reference, window)
    return {ANY: share > 0, HALF: share >= 0.5}


def tuned(setting: Setting, reference: Observed, window: Observed) -> dict[str, bool]:
    """Evidently by a setting that was chosen on other windows."""
    share = drifted(reference, window, setting.test, setting.threshold)
    return {setting.name: share >= setting.share}


def best(reference: Observed, quiet: Sequence[Observed], shifted: Sequence[Observed]) -> Setting:
    """The setting that finds most of some shifted windows, of those that seldom alarm on others."""
    trades = []
    for test, threshold in TESTS:
        calm, found = (
            np.array([drifted(reference, each, test, threshold) for each in some])
            for some in (quiet, shifted)
        )
        trades += [
            (
                float((calm >= share).mean()),
                float((found >= share).mean()),
                Setting(test=test, threshold=threshold, share=share),
            )
            for share in SHARES
        ]
    calmest = max(MOST_QUIET, min(false for false, _, _ in trades))
    return max((t for t in trades if t[0] <= calmest), key=lambda t: (t[1], -t[0]))[2]


def drifted(
    reference: Observed, window: Observed, test: str | None = None, threshold: float | None = None
) -> float:
    """Share of descriptors and probabilities whose test says that they drift."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import DriftedColumnsCount

    classes = tuple(map(str, range(reference.probabilities.shape[1])))
    before, now = (weekly_report.table(side, classes) for side in (reference, window))
    definition = DataDefinition(numerical_columns=list(before.columns))
    # The preset's own count, without its pictures: they take seconds.
    report = Report([DriftedColumnsCount(num_method=test, num_threshold=threshold)])
    sides = [Dataset.from_pandas(each, data_definition=definition) for each in (now, before)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that never vary
        snapshot = report.run(*sides)
    return float(snapshot.dict()["metrics"][0]["value"]["share"])


def two_sample(reference: Observed, window: Observed) -> dict[str, bool]:
    """Whether a classifier can tell two periods apart (Lopez-Paz and Oquab, arXiv:1610.06545).

    As many images of the reference as the window has, cross-validated by image, and a binomial
    test, as if images were independent.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    n = min(reference.n, window.n)
    sides = [side.take(rng.permutation(side.n)[:n]) for side in (reference, window)]
    values = np.concatenate([np.hstack([s.descriptors, s.probabilities]) for s in sides])
    which = np.repeat([0, 1], n)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    told = cross_val_predict(model, values, which, cv=folds)
    right = int((told == which).sum())
    return {C2ST: bool(binomtest(right, 2 * n, 0.5, alternative="greater").pvalue < 0.01)}


def of_windows(setting: Setting) -> Mapping[str, Alarms]:
    """All peers that need no labels."""
    return {
        "evidently": defaults,
        "evidently, tuned": partial(tuned, setting),
        "two-sample": two_sample,
    }


def has_mapie(folder: Path | None) -> bool:
    """Whether MAPIE is here, or in an environment or a target folder of pip's.

    What is here already is taken from here: the folder is looked at last.
    """
    if folder is not None:
        inside = sysconfig.get_path("purelib", vars={"base": str(folder)})
        sys.path += [path for path in (inside, str(folder)) if path not in sys.path]
    return importlib.util.find_spec("mapie") is not None


def mapie_week(
    reference: Observed, weeks: Sequence[NDArray[np.float64]], looks: Sequence[int]
) -> int:
    """The first week in which MAPIE's risk monitoring alarms, or len(weeks).

    weeks: uniform labels of each, 1 where the answer is right. looks: after how many weeks. At 1 %
    and without tolerance, as the betting; its defaults, 5 % and 5 points, find less.
    """
    testing = importlib.import_module("mapie.exchangeability_testing")
    monitor = testing.RiskMonitoring(risk="accuracy", warn=False, test_level=0.01, tolerance=0.0)
    right = reference.labelled().correct.astype(int)
    monitor.compute_threshold(right, np.ones_like(right))
    for start, end in pairwise((0, *looks)):
        truth = np.concatenate(weeks[start:end]).astype(int)
        monitor.update(truth, np.ones_like(truth))
        if monitor.harmful_shift_detected:
            return end - 1
    return len(weeks)


def uniform_labels(window: Observed, n: int, rng: Generator) -> NDArray[np.float64]:
    """Whether the answers to n images are right, drawn uniformly, one of a group."""
    order = rng.permutation(window.n)
    _, first = np.unique(window.groups[order], return_index=True)
    return np.asarray(window.correct[order[rng.permutation(first)[:n]]])
