"""How good a package is on one split: metrics with intervals, and every answer behind them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.errors import ConfigError
from neuro.evaluation import metrics
from neuro.models.package import Card
from neuro.prediction import predict
from neuro.prediction.predict import Engine
from neuro.sample import EXTERNAL, NO_SPLIT, SPLITS, Metric

FOLDS = "folds"  # what pooled answers are named, in place of a split
SHOWN_OF_FOLDS = ("accuracy", "macro_f1", "auroc")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """A model's calibrated answers to labelled samples, a row each.

    sample_ids, groups: (n,) str. targets, called: (n,) class index; what is called need not be the
    most probable (``calibration.Calibrated``). probabilities: (n, k), in the order of ``classes``.
    balanced: the same before the classes' shares are put back, (n, k), by which they are called;
    members: such of each member of an ensemble, (m, n, k), None for one network.
    conformal_sets: those that decide, (n, k) bool; marginal_sets: those of one quantile for all
    classes. ood_scores: (n,), above 1 out of scope. embeddings: (n, d). None where they were not
    asked for.
    """

    split: str
    model_version: str
    classes: tuple[str, ...]
    sample_ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    targets: NDArray[np.int64]
    called: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    balanced: NDArray[np.float64] | None = None
    members: NDArray[np.float64] | None = None
    conformal_sets: NDArray[np.bool_] | None = None
    marginal_sets: NDArray[np.bool_] | None = None
    ood_scores: NDArray[np.float64] | None = None
    embeddings: NDArray[np.float32] | None = None

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Which samples are called right, (n,)."""
        return np.asarray(self.called == self.targets)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of what each sample is called, (n,)."""
        return np.asarray(self.probabilities[np.arange(len(self.called)), self.called])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evaluation(Answers):
    """A model's score on labelled samples, and the answers it was computed from.

    confusion: (k, k) int64, a row per true class.
    """

    metrics: tuple[Metric, ...]
    confusion: NDArray[np.int64]

    def metric(self, name: str) -> Metric | None:
        """The metric of that name; None where these samples do not give it."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a sample here, of which no figure says anything."""
        return metrics.absent(self.targets, self.classes)

    @property
    def missing(self) -> str:
        """What must be said beside its figures where a class has no sample, "" for nothing."""
        over = metrics.over_classes(self.targets, self.classes)
        return f"figures on {self.split} are over {over}" if over else ""

    def brief(self, names: Sequence[str]) -> dict[str, Any]:
        """Some metrics as plain values, null where these samples do not give one, and n.

        absent: classes without a sample, where there are any.
        """
        by_name = {name: self.metric(name) for name in names}
        values = {name: asdict(metric) if metric else None for name, metric in by_name.items()}
        lacks = {"absent": list(self.absent)} if self.absent else {}
        return values | {"n": len(self.targets)} | lacks

    def take(self, keep: NDArray[np.bool_]) -> "Evaluation":
        """The evaluation of some of the samples, (n,) bool, with its own metrics."""
        rows: dict[str, Any] = {
            name: value if value is None else value[:, keep] if name == "members" else value[keep]
            for name, value in _fields(self).items()
            if name not in _OF_ALL
        }
        return of_answers(Answers(**rows, **{name: getattr(self, name) for name in _OF_ALL}))


_OF_ALL = ("split", "model_version", "classes")  # fields of Answers that have no row for each


def _fields(answers: Answers) -> dict[str, Any]:
    """The fields of answers, without what was computed from them."""
    return {each.name: getattr(answers, each.name) for each in fields(Answers)}


def evaluate(
    engine: Engine,
    frames: Frames,
    split: str,
    *,
    model_version: str,
    rows: NDArray[np.int64] | None = None,
) -> Evaluation:
    """Evaluate on the labelled samples of a split, or on those of them whose numbers are ``rows``.

    Raises ConfigError for frames of another preprocess or splitting, for a split without labels,
    and for rows that are not labelled samples of the split.
    """
    predict.require_same_preprocess(engine, frames)
    check(engine.package.card, frames, split)
    labelled = frames.labelled(split)
    chosen = labelled if rows is None else rows
    if not len(chosen):
        raise ConfigError(f"split {split!r}: no labelled sample was chosen to evaluate on")
    if not np.isin(chosen, labelled).all():
        raise ConfigError(f"rows hold samples that are not labelled samples of split {split!r}")
    card = engine.package.card
    found = predict.answer(engine, frames.pixels, rows=chosen)
    calibrated = found.calibrated
    return of_answers(
        Answers(
            split=split,
            model_version=model_version,
            classes=card.classes,
            sample_ids=frames.sample_ids[chosen],
            groups=frames.groups[chosen],
            targets=frames.targets[chosen],
            called=calibrated.called,
            probabilities=calibrated.probabilities,
            conformal_sets=calibrated.conformal_sets,
            marginal_sets=calibrated.marginal_sets,
            ood_scores=calibrated.ood_scores,
            embeddings=found.embeddings,
        )
    )


def check(card: Card, frames: Frames, split: str) -> None:
    """Raise ConfigError for an unknown, an empty, or another splitting's split."""
    if split == NO_SPLIT or (split not in SPLITS and split not in frames.splits):
        raise ConfigError(
            f"no split {split!r}: a model is scored on one of {', '.join(SPLITS)}, under the "
            f"splitting it was trained with ({card.splitting})"
        )
    if split != EXTERNAL:  # nobody was trained on a part of it
        require_same_splitting(card, frames)
    if not len(frames.labelled(split)):
        raise ConfigError(f"split {split!r} has no labelled sample to evaluate on")


def require_same_splitting(card: Card, frames: Frames) -> None:
    """Raise ConfigError where what a model learnt from may be in what it would be scored on.

    The lake's own splits are permanent; any other is drawn for one release.
    """
    if card.splitting != str(frames.splitting):
        raise ConfigError(
            f"the package was trained with --split {card.splitting}, and {frames.splitting} splits "
            f"are asked for: its training images may be among those. Use one trained with --split "
            f"{frames.splitting}"
        )
    if not frames.splitting.is_own and card.pin["content_hash"] != frames.content_hash:
        raise ConfigError(
            f"--split {card.splitting} was drawn for release {card.pin['release']}, where the "
            f"package was trained; give --release {card.pin['release']}"
        )


def require_same_samples(first: Evaluation, second: Evaluation) -> None:
    """Raise ConfigError for two evaluations that are not of the same samples in the same order."""
    same = first.classes == second.classes and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("sample_ids", "groups", "targets")
    )
    if not same:
        raise ConfigError(
            "the two models were evaluated on different samples, labels or classes; evaluate both "
            "on the same release and split"
        )


def of_answers(answers: Answers) -> Evaluation:
    """The evaluation of calibrated answers to labelled samples."""
    targets, called = answers.targets, answers.called
    scored = metrics.score(
        answers.probabilities, targets, answers.groups, answers.classes, called=called
    )
    return Evaluation(
        **_fields(answers),
        metrics=tuple(scored),
        confusion=metrics.confusion(targets, called, len(answers.classes)),
    )


def over_folds(folds: Sequence[Sequence[Metric]]) -> dict[str, dict[str, float]]:
    """Mean and deviation of each shown metric that every fold has."""
    by_fold = [{metric.name: metric.value for metric in metrics} for metrics in folds]
    result = {}
    for name in SHOWN_OF_FOLDS:
        values = [fold[name] for fold in by_fold if name in fold]
        if len(values) == len(by_fold):
            result[name] = {"mean": fmean(values), "deviation": stdev(values)}
    return result


def pool(folds: Sequence[Evaluation]) -> Evaluation:
    """The answers of several folds as one: of each sample by a model that had not seen its group.

    Raises ConfigError where a sample was answered twice, for those are no folds.
    """
    sample_ids = np.concatenate([fold.sample_ids for fold in folds])
    if len(np.unique(sample_ids)) < len(sample_ids):
        raise ConfigError("a sample is in two of the folds; give folds of one release and number")
    members = [fold.members for fold in folds if fold.members is not None]
    balanced = [fold.balanced for fold in folds if fold.balanced is not None]
    return of_answers(
        Answers(
            split=FOLDS,
            model_version="",
            classes=folds[0].classes,
            sample_ids=sample_ids,
            groups=np.concatenate([fold.groups for fold in folds]),
            targets=np.concatenate([fold.targets for fold in folds]),
            called=np.concatenate([fold.called for fold in folds]),
            probabilities=np.concatenate([fold.probabilities for fold in folds]),
            balanced=np.concatenate(balanced) if len(balanced) == len(folds) else None,
            members=np.concatenate(members, axis=1) if len(members) == len(folds) else None,
        )
    )
