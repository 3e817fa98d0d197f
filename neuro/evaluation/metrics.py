"""Scores with honest intervals: whole groups (patients, lesions) are left out, not images.

Classes without a sample have no recall and no F1: macro figures are means over the classes
*present among the targets*, and every figure of all classes names those that are not. Figures of an
absent class are left out; so are, where a single class is there and nothing is told apart, macro
figures and areas under curves. A draw without the class does not count for that figure's interval.
"""

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuro.errors import ConfigError
from neuro.evaluation import estimates, intervals
from neuro.sample import FEW_GROUPS, Metric

# Means over classes, of two at least: nothing is told apart where there is one.
MACRO = (
    *("balanced_accuracy", "macro_precision", "macro_specificity", "macro_f1"),
    *("auroc", "auprc"),
)
OVERALL = ("accuracy", *MACRO, "brier", "log_loss", "ece", "classwise_ece")
OF_A_CLASS = ("recall", "precision", "specificity", "f1", "auroc", "auprc", "sensitivity80")
LOSSES = ("brier", "log_loss", "ece", "classwise_ece")  # 0 at best
FEWEST_GROUPS = 10  # of the rarest class: with fewer an interval is too wide to say anything
# Of an area, where the rarest class has so few groups: near 1, or where it is as rare as this, its
# interval covers less than 93 %.
NARROW_GROUPS, NARROW_FROM, NARROW_SHARE = 40, 0.97, 0.1
NARROW = "interval may be too narrow"
RESAMPLES = 1000  # of a sensitivity, which no jackknife knows
CHUNK_CELLS = 4_000_000  # weights held at once: 32 MB of float64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def score(
    probabilities: Floats,
    targets: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    only: Collection[str] = (),
    *,
    called: Ints | None = None,
) -> list[Metric]:
    """Every figure of all classes (OVERALL) and of each (OF_A_CLASS), with 95 % intervals.

    only: some of them, which takes less time; () for all.

    balanced_accuracy: the mean recall of the classes that are there. sensitivity80_<class>: share
    of the class above the lowest threshold that at least 80 % of all others stay below. A precision
    is told of classes that are called at all.
    probabilities: (n, k). targets: (n,) class index. groups: (n,) str. called: what each is called,
    (n,) class index; default: the most probable. n and groups of a figure of a class count that
    class. Raises ConfigError for empty, misshapen or unlabelled input.
    """
    targets, groups, k = _checked(probabilities, targets, groups)
    if len(classes) != k:
        raise ConfigError(f"{k} columns of probabilities, but classes are {tuple(classes)}")
    if called is None:
        called = probabilities.argmax(axis=1)
    answers = _Answers.of(probabilities, called, targets, groups)
    wanted = set(only or (*OVERALL, *OF_A_CLASS))
    if len(answers.present) < 2:
        wanted &= {"accuracy", "recall", *LOSSES}
    points = answers.figures(np.ones((1, len(targets))), wanted)
    spreads = answers.spreads(points)
    over, metrics = over_classes(targets, classes), []
    for name, point in points.items():
        for column, value in enumerate(point[0]):
            if not np.isfinite(value) or not answers.has(name, column):
                continue
            spread = spreads[name][column]
            if name in OVERALL:
                metric = answers.metric(name, value, spread)
                metrics.append(replace(metric, classes=over))
            else:
                of_class = name.removesuffix(_OF)
                metric = answers.metric(of_class, value, spread, of=column)
                metrics.append(replace(metric, name=f"{of_class}_{classes[column]}"))
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """A figure of the challenger minus that of the champion, and its standard error by group.

    stands_on: groups of the rarest class where the figure is a mean over classes, else all groups.
    """

    name: str
    value: float
    spread: float
    stands_on: int
    n: int
    groups: int
    classes: str = ""

    def metric(self, tail: float = intervals.TAIL) -> Metric:
        """With the interval that misses the truth by ``tail`` on each side."""
        interval = intervals.of_difference(
            self.value, self.spread, self.stands_on, self.groups, tail
        )
        return Metric(
            name=self.name,
            value=self.value,
            low=interval.low,
            high=interval.high,
            n=self.n,
            groups=self.groups,
            classes=self.classes,
            mark=FEW_GROUPS if self.stands_on < FEWEST_GROUPS else "",
        )


def stands_on(
    name: str, of: int | None, called: Ints, targets: Ints, groups: NDArray[np.str_], k: int
) -> int:
    """Groups that decide how wide the interval of a figure is: of a mean over classes the rarest's.

    of: the class of a figure of OF_A_CLASS. called, targets, groups: (n,), as of ``score``. k:
    classes. A mean over classes stands on none where one is absent.
    """
    answers = _Answers.of(np.eye(k)[called], called, targets, groups)
    if of is None and name in MACRO and len(answers.present) < k:
        return 0
    return answers.stands_on(name, of)


def difference(
    name: str,
    called: tuple[Ints, Ints],
    targets: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
) -> Metric:
    """``paired_difference`` with its 95 % interval."""
    return paired_difference(name, called, targets, groups, classes).metric()


def paired_difference(
    name: str,
    called: tuple[Ints, Ints],
    targets: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
) -> PairedDifference:
    """``name`` of the challenger minus that of the champion, without the same groups each time.

    name: "accuracy" or "macro_f1". called: by (challenger, champion), each (n,) class index.
    targets, groups, classes: as of ``score``. n and groups count all samples. Raises ConfigError
    for another name, for two shapes, and what ``score`` refuses.
    """
    if name not in ("accuracy", "macro_f1"):
        raise ConfigError(f"difference knows accuracy and macro_f1, not {name!r}")
    for each in called:
        if each.shape != called[0].shape or not ((each >= 0) & (each < len(classes))).all():
            raise ConfigError(
                f"what two models call must be numbers below {len(classes)}, as many of each; got "
                f"{called[0].shape} and {called[1].shape}"
            )
    challenger, champion = (np.eye(len(classes))[each] for each in called)
    targets, groups, _ = _checked(challenger, targets, groups)
    ours = _Answers.of(challenger, called[0], targets, groups)
    theirs = _Answers.of(champion, called[1], targets, groups)

    def gained(weights: Floats) -> Floats:
        first, second = (
            estimates.of_tables(each.tables(weights))[name][:, 0] for each in (ours, theirs)
        )
        return np.asarray(first - second)

    value = float(gained(np.ones((1, len(targets))))[0])
    without = [gained(weights) for weights in ours.without_each()]
    spread = intervals.jackknife_spread(np.concatenate(without)) if without else 0.0
    return PairedDifference(
        name=name,
        value=value,
        spread=spread,
        stands_on=ours.rarest if name in MACRO else ours.n_groups,
        n=len(targets),
        groups=ours.n_groups,
        classes=over_classes(targets, classes),
    )


def loss_difference(
    name: str, probabilities: tuple[Floats, Floats], targets: ArrayLike, groups: ArrayLike
) -> Metric:
    """How much lower a loss of the challenger is than that of the champion, one of LOSSES.

    probabilities: by (challenger, champion), each (n, k). Called is the most probable class. The
    spread is that of the jackknife over groups.
    """
    first, second = (
        _Answers.of(each, each.argmax(axis=1), *_checked(each, targets, groups)[:2])
        for each in probabilities
    )

    def gained(weights: Floats) -> Floats:
        ours, theirs = (each.figures(weights, {name})[name][:, 0] for each in (first, second))
        return np.asarray(theirs - ours)

    value = float(gained(np.ones((1, len(first.targets))))[0])
    without = [gained(weights) for weights in first.without_each()]
    spread = intervals.jackknife_spread(np.concatenate(without)) if without else 0.0
    interval = intervals.of_mean(value, spread, first.n_groups)
    return Metric(
        name=name,
        value=value,
        low=interval.low,
        high=interval.high,
        n=len(first.targets),
        groups=first.n_groups,
        mark=FEW_GROUPS if first.n_groups < FEWEST_GROUPS else "",
    )


def mean_difference(name: str, ours: Floats, theirs: Floats, groups: ArrayLike) -> Metric:
    """Mean of a score of each sample less that of another model, with its 95 % interval.

    ours, theirs: (n,), of the same samples. groups: (n,) str. The spread is that of the jackknife
    over groups; of one group, or where nothing differs, the value alone.
    """
    names, group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    gained, block_of = ours - theirs, intervals.blocks(len(names))[group_of]
    sums, counts = np.bincount(block_of, weights=gained), np.bincount(block_of)
    value, spread = float(gained.mean()), 0.0
    if len(names) > 1:
        without = (gained.sum() - sums) / (len(gained) - counts)
        spread = intervals.jackknife_spread(without)
    interval = intervals.of_mean(value, spread, len(names))
    return Metric(
        name=name,
        value=value,
        low=interval.low,
        high=interval.high,
        n=len(gained),
        groups=len(names),
        mark=FEW_GROUPS if len(names) < FEWEST_GROUPS else "",
    )


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Answers:
    """Checked answers, and which group each belongs to. group_of: (n,) numbers below n_groups."""

    probabilities: Floats
    called: Ints
    targets: Ints
    group_of: Ints
    n_groups: int

    @classmethod
    def of(
        cls, probabilities: Floats, called: Ints, targets: Ints, groups: NDArray[np.str_]
    ) -> "_Answers":
        names, group_of = np.unique(groups, return_inverse=True)
        return cls(
            probabilities=probabilities,
            called=called,
            targets=targets,
            group_of=group_of,
            n_groups=len(names),
        )

    @property
    def present(self) -> Ints:
        """Classes that are there."""
        return np.unique(self.targets)

    def groups_with(self, column: int) -> int:
        """Groups with a sample of a class."""
        return len(np.unique(self.group_of[self.targets == column]))

    def groups_called(self, column: int) -> int:
        """Groups with a sample that is called a class."""
        return len(np.unique(self.group_of[self.called == column]))

    def has(self, name: str, column: int) -> bool:
        """Whether a figure of a class can be told: no precision where nothing is called so."""
        return name != "precision" or self.groups_called(column) > 0

    @property
    def rarest(self) -> int:
        """Groups of the class that has fewest."""
        return min(self.groups_with(int(column)) for column in self.present)

    def tables(self, weights: Floats) -> Floats:
        """Confusion counts of each draw, (b, k, k), of weights of samples, (b, n)."""
        k = self.probabilities.shape[1]
        cells = np.zeros((len(self.targets), k * k))
        cell_of = self.targets * k + self.called
        cells[np.arange(len(self.targets)), cell_of] = 1
        return (weights @ cells).reshape(len(weights), k, k)

    def figures(self, weights: Floats, wanted: Set[str]) -> dict[str, Floats]:
        """The wanted figures of b draws, (b, 1) or (b, k)."""
        given = (self.probabilities, self.targets, weights)
        found: dict[str, Floats] = {}
        if not _OF_RANKS.union(LOSSES).issuperset(wanted):
            found |= estimates.of_tables(self.tables(weights))
        if not _OF_RANKS.isdisjoint(wanted):
            found |= estimates.of_ranks(*given)
        if not wanted.isdisjoint(LOSSES):
            found |= estimates.of_probabilities(*given, called=self.called)
        if "sensitivity80" in wanted:
            found["sensitivity80"] = estimates.sensitivity(*given)
        names = (*OVERALL, *(f"{n}{_OF}" if n in OVERALL else n for n in OF_A_CLASS))
        return {name: found[name] for name in names if name.removesuffix(_OF) in wanted}

    def without_each(self) -> Iterator[Floats]:
        """Weights of the samples, (b, n), with each of b blocks of groups left out."""
        block_of = intervals.blocks(self.n_groups)[self.group_of]
        n_blocks = min(self.n_groups, intervals.BLOCKS)
        step = max(1, CHUNK_CELLS // len(self.targets))
        for start in range(0, n_blocks if self.n_groups > 1 else 0, step):
            left_out = np.arange(start, min(start + step, n_blocks))
            yield (block_of != left_out[:, None]).astype(np.float64)

    def drawn(self) -> Iterator[Floats]:
        """Weights of the samples, (b, n), as whole groups are drawn with replacement."""
        rng = np.random.default_rng(intervals.SEED)
        step = max(1, CHUNK_CELLS // len(self.targets))
        for start in range(0, RESAMPLES, step):
            size = min(step, RESAMPLES - start)
            drawn = rng.integers(self.n_groups, size=(size, self.n_groups))
            drawn += np.arange(size)[:, None] * self.n_groups
            counts = np.bincount(drawn.ravel(), minlength=size * self.n_groups)
            yield counts.reshape(size, self.n_groups)[:, self.group_of].astype(np.float64)

    def spreads(self, points: dict[str, Floats]) -> dict[str, list[float]]:
        """Standard error of each column of each figure."""
        wanted = {name.removesuffix(_OF) for name in points} - {"sensitivity80"}
        without = [self.figures(weights, wanted) for weights in self.without_each()]
        found = {}
        for name, point in points.items():
            if name == "sensitivity80":  # the jackknife is no measure of a quantile
                sampled = np.concatenate([self._sensitivity(weights) for weights in self.drawn()])
                found[name] = [_deviation(column) for column in sampled.T]
            else:
                columns = np.concatenate([each[name] for each in without] or [point[:0]])
                found[name] = [intervals.jackknife_spread(column) for column in columns.T]
        return found

    def _sensitivity(self, weights: Floats) -> Floats:
        return estimates.sensitivity(self.probabilities, self.targets, weights)

    def stands_on(self, name: str, of: int | None = None) -> int:
        """Groups that decide how wide the interval of a figure is."""
        if of is None:
            return self.rarest if name in MACRO else self.n_groups
        if name == "precision":
            return self.groups_called(of)
        others = len(np.unique(self.group_of[self.targets != of]))
        if name == "specificity":
            return others
        return min(self.groups_with(of), others) if name in _OF_RANKS else self.groups_with(of)

    def metric(self, name: str, value: float, spread: float, of: int | None = None) -> Metric:
        """A figure with its interval. of: the class that it is of.

        The groups that it stands on decide how wide: of a mean over classes those of the rarest.
        """
        n, groups = len(self.targets), self.n_groups
        if of is not None:
            n, groups = int((self.targets == of).sum()), self.groups_with(of)
        stands_on = self.stands_on(name, of)
        if name in LOSSES:
            largest = {"log_loss": np.inf, "brier": 1 if self.probabilities.shape[1] == 2 else 2}
            most = largest.get(name, 1)
            interval = intervals.of_loss(value, spread, stands_on, most=most)
        else:
            interval = intervals.of_share(value, spread, stands_on)
        is_extreme = value >= NARROW_FROM or stands_on < NARROW_SHARE * self.n_groups
        is_narrow = name in ("auroc", "auprc") and stands_on < NARROW_GROUPS and is_extreme
        return Metric(
            name=name,
            value=float(value),
            low=interval.low,
            high=interval.high,
            n=n,
            groups=groups,
            mark=FEW_GROUPS if stands_on < FEWEST_GROUPS else NARROW if is_narrow else "",
        )


_OF = "_of"  # after a figure of each class that is one of all classes, too
_OF_RANKS = frozenset({"auroc", "auprc", "sensitivity80"})


def _deviation(column: Floats) -> float:
    known = column[np.isfinite(column)]
    return float(known.std()) if len(known) > 1 else 0.0
