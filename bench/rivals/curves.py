"""What answers at moments of a clock are worth: macro-F1, its table, and its picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neuro.evaluation import metrics
from neuro.sample import Metric

Answers = Sequence[tuple[float, Sequence[int]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Of the files that are asked, (n,): class numbers and groups; names of the k classes."""

    targets: NDArray[np.int64]
    groups: NDArray[np.str_]
    classes: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One arm. points: (m, 2) of seconds and macro-F1, ascending; last: with its interval."""

    name: str
    points: NDArray[np.float64]
    last: Metric

    @property
    def error(self) -> float:
        """What is missing to macro-F1 1."""
        return 1 - self.last.value

    @property
    def is_trained(self) -> bool:
        """Whether it took its time: a look-up is there at once."""
        return len(self.points) > 1

    def reached(self, macro_f1: float) -> float:
        """Seconds at which it was first that good, NaN for never."""
        good = self.points[self.points[:, 1] >= macro_f1, 0]
        return float(good[0]) if len(good) else float("nan")


def judge(name: str, answers: Answers, truth: Truth) -> Scored:
    """The macro-F1 of each moment; at least one."""
    found = [(seconds, _macro_f1(given, truth)) for seconds, given in answers]
    hard = np.eye(len(truth.classes))[np.array(answers[-1][1])]
    scores = metrics.score(hard, truth.targets, truth.groups, truth.classes, ("macro_f1",))
    last = next(metric for metric in scores if metric.name == "macro_f1")
    return Scored(name=name, points=np.array(found), last=last)


def _macro_f1(answers: Sequence[int], truth: Truth) -> float:
    table = metrics.confusion(truth.targets, np.array(answers), len(truth.classes))
    correct, asked = np.diag(table), table.sum(axis=1)
    f1 = 2 * correct / np.maximum(asked + table.sum(axis=0), 1)
    return float(f1[asked > 0].mean())


def table(scored: Sequence[Scored], ours: Sequence[str], named: Mapping[str, str]) -> list[str]:
    """A line for each arm, and when the first of ours was as good as each rival at last."""
    own = next((one for one in scored if one.name == ours[0]), None)
    lines = [f"{'':36}{'macro-F1':>22}{'error':>8}{'at, s':>8}{'ours there, s':>14}{'share':>8}"]
    for one in scored:
        seconds = one.points[-1, 0]
        line = f"{named[one.name]:36}{one.last!s:>22}{one.error:8.4f}{seconds:8.0f}"
        if own is not None and one.name not in ours and one.is_trained:
            there = own.reached(one.last.value)
            line += f"{there:14.0f}{there / seconds:8.2f}"
        lines.append(line)
    return lines


def draw(scored: Sequence[Scored], named: Mapping[str, str], path: Path) -> None:
    """Macro-F1 against seconds, one line an arm; a single point is a level. named: by arm."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7, 4.8), layout="constrained")
        axes = figure.add_subplot()
        for one in scored:
            label = f"{named[one.name]}: {one.last.value:.3f}"
            if one.is_trained:
                axes.plot(*one.points.T, marker=".", label=label)
            else:
                axes.axhline(one.last.value, linestyle=":", color="0.4", label=label)
        axes.set(xlabel="seconds since the process was started", ylabel="macro-F1", ylim=(0, 1))
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        figure.savefig(path, dpi=130)
