"""How often a 95 % interval holds the truth: simulated answers in groups, some classes rare.

Four classes; groups of 1 + Poisson(1) images of one label, whose scores are correlated; the rarest
class has 5 or 20 % of the groups. The truth is the figure of a very large set. Beside neuro's
intervals stand the percentiles of a bootstrap of the same groups.
"""

import argparse
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import norm

from neuro.evaluation import estimates, metrics
from neuro.sample import FEW_GROUPS

K = 4
CLASSES = tuple("abcd")
SHOWN = ("accuracy", "recall_d", "balanced_accuracy", "macro_f1", "auroc_d")
ONLY = ("accuracy", "recall", "balanced_accuracy", "macro_f1", "auroc")
DRAWS = 300  # of the bootstrap
LARGE = 100_000  # groups of the truth
ASKED = (93.0, 97.0)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Setting(NamedTuple):
    """A population, and how many groups are drawn from it."""

    groups: int
    rarest: float
    correlation: float
    area: float

    def draw(self, groups: int, rng: np.random.Generator) -> tuple[Floats, Ints, Ints]:
        """Probabilities (n, k), targets (n,) and group numbers (n,)."""
        shares = np.array([*[(1 - self.rarest) / (K - 1)] * (K - 1), self.rarest])
        label = rng.choice(K, groups, p=shares)
        owner = np.repeat(np.arange(groups), 1 + rng.poisson(1.0, groups))
        targets, n = label[owner], len(owner)
        shared = rng.normal(size=(groups, K))[owner]
        own = rng.normal(size=(n, K))
        noise = np.sqrt(self.correlation) * shared + np.sqrt(1 - self.correlation) * own
        skill = np.sqrt(2) * norm.ppf(self.area)
        return softmax(noise + skill * np.eye(K)[targets], axis=1), targets, owner


SETTINGS = [
    Setting(groups, rarest, correlation, area)
    for groups, rarest in ((100, 0.05), (100, 0.2), (400, 0.05), (400, 0.2))
    for correlation, area in ((0.2, 0.92), (0.6, 0.92), (0.2, 0.98))
]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench intervals", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400, help="simulated sets of each setting")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    print(
        f"{options.rounds} sets of each setting: intervals that hold the truth, per cent, of "
        f"{', '.join(SHOWN)};\nneuro's, in brackets the percentiles of {DRAWS} draws; "
        f"-: under {metrics.FEWEST_GROUPS} groups of the rarest class, no interval is shown;\n"
        f"!: in most sets the figure is marked '{metrics.NARROW}'. Asked: {ASKED[0]:g} to "
        f"{ASKED[1]:g}.\n"
    )
    print(
        f"{'groups (rarest)':>16}{'correlation':>12}{'AUROC':>7}"
        + "".join(f"{name:>20}" for name in SHOWN)
    )
    outside = 0
    for setting in SETTINGS:
        cells = _covered(setting, options.rounds, options.seed)
        outside += sum(cell.is_outside for cell in cells)
        rare = round(setting.groups * setting.rarest)
        print(
            f"{f'{setting.groups} ({rare})':>16}{setting.correlation:>12}{setting.area:>7}"
            + "".join(f"{cell!s:>20}" for cell in cells),
            flush=True,
        )
    print(f"\nunmarked figures outside of what is asked: {outside}")


class Cell(NamedTuple):
    """Coverage of a figure in per cent. shown, narrow: shares of the sets."""

    ours: float
    percentiles: float
    shown: float
    narrow: float

    @property
    def is_outside(self) -> bool:
        """Whether an interval that is shown without a mark holds the truth too rarely or often."""
        low, high = ASKED
        return self.shown >= 0.5 > self.narrow and not low <= round(self.ours) <= high

    def __str__(self) -> str:
        mark = "-" if self.shown < 0.5 else "!" if self.narrow >= 0.5 else ""
        return f"{mark}{self.ours:.0f} ({self.percentiles:.0f})"


def _covered(setting: Setting, rounds: int, seed: int) -> list[Cell]:
    probabilities, targets, _ = setting.draw(LARGE, np.random.default_rng([seed, 1]))
    truth = _values(probabilities, targets, np.ones((1, len(targets))))
    held: dict[str, list[tuple[bool, bool, bool, bool]]] = defaultdict(list)
    rng = np.random.default_rng([seed, 2])
    for _ in range(rounds):
        probabilities, targets, owner = setting.draw(setting.groups, rng)
        scores = metrics.score(probabilities, targets, owner.astype(np.str_), CLASSES, ONLY)
        found = {metric.name: metric for metric in scores}
        draws = _values(probabilities, targets, _drawn(owner, rng))
        for name in SHOWN:
            metric = found.get(name)
            if metric is None or len(np.unique(targets)) < K:
                continue
            low, high = np.nanquantile(draws[name], [0.025, 0.975])
            value = float(truth[name][0])
            held[name].append(
                (
                    metric.low <= value <= metric.high,
                    bool(low <= value <= high),
                    metric.mark != FEW_GROUPS,
                    metric.mark == metrics.NARROW,
                )
            )
    cells = []
    for name in SHOWN:
        ours, theirs, shown, narrow = np.mean(held[name], axis=0)
        cells.append(Cell(100 * ours, 100 * theirs, shown, narrow))
    return cells


def _values(probabilities: Floats, targets: Ints, weights: Floats) -> dict[str, Floats]:
    """The shown figures of each draw, (b,), of weights, (b, n)."""
    cells = np.zeros((len(targets), K * K))
    cells[np.arange(len(targets)), targets * K + probabilities.argmax(axis=1)] = 1
    hard = estimates.of_tables((weights @ cells).reshape(-1, K, K))
    rarest = np.stack([1 - probabilities[:, -1], probabilities[:, -1]], axis=1)
    area = estimates.of_ranks(rarest, (targets == K - 1).astype(np.int64), weights)["auroc"]
    return {
        "accuracy": hard["accuracy"][:, 0],
        "recall_d": hard["recall"][:, -1],
        "balanced_accuracy": hard["balanced_accuracy"][:, 0],
        "macro_f1": hard["macro_f1"][:, 0],
        "auroc_d": area[:, 0],
    }


def _drawn(owner: Ints, rng: np.random.Generator) -> Floats:
    groups = int(owner.max()) + 1
    counts = rng.multinomial(groups, np.full(groups, 1 / groups), size=DRAWS)
    return counts[:, owner].astype(np.float64)
