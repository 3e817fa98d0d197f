"""Whether probabilities and sets hold on other groups: calibration and scoring groups redrawn.

Of val and calibration, which a package does not learn from; the test split is not read. Each redraw
calibrates on half of the groups and scores on the rest.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import estimates
from neuro.lake.lake import Lake
from neuro.models import package
from neuro.prediction import predict
from neuro.problems import problem
from neuro.uncertainty import calibration
from neuro.uncertainty.calibration import Calibrated
from tasks.load import release_data
from tasks.runtime import settings

ASKED_ERROR, ASKED_COVERAGE, ASKED_OF_CLASS, ENOUGH = 0.03, 0.01, 0.03, 50


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drawn:
    """One redraw. covered: share of true classes in the sets, overall and by class, (1 + k,).

    by_class: the same of sets with a limit for each class, which decide. answers: of either, the
    share answered, and the share wrong of these. groups: to calibrate on, by class, (k,).
    """

    error: float
    uncalibrated: float
    covered: NDArray[np.float64]
    by_class: NDArray[np.float64]
    answers: NDArray[np.float64]
    groups: NDArray[np.int64]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench calibration", description=__doc__)
    parser.add_argument("packages", type=Path, nargs="+", help="trained on releases of the lake")
    parser.add_argument("--lake", default=settings.load().lake)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args(argv)
    for folder in options.packages:
        found = package.open_verified(folder)
        card = found.card
        question = replace(problem.load(card.problem), preprocess=card.preprocess)
        frames = release_data.load(Lake(options.lake), question, card.pin["release"]).frames
        rows = np.concatenate([frames.labelled(split) for split in ("val", "calibration")])
        engine = predict.load(found, threads=settings.cores())
        logits, embeddings = predict.outputs(engine, frames.pixels, rows=rows)
        drawn = [
            _scored(logits, embeddings, frames.targets[rows], frames.groups[rows], half)
            for half in _halves(frames.groups[rows], options.rounds)
        ]
        _tell(card.problem, card.architecture, card.classes, drawn, len(rows))


def _halves(groups: NDArray[np.str_], rounds: int) -> Iterator[NDArray[np.bool_]]:
    """Which rows calibrate, (n,) bool: those of half of the groups."""
    names, owner = np.unique(groups, return_inverse=True)
    for seed in range(rounds):
        order = np.random.default_rng(seed).permutation(len(names))
        yield (order < len(names) // 2)[owner]


def _scored(
    logits: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    half: NDArray[np.bool_],
) -> Drawn:
    fitted = calibration.fit(logits[half], embeddings[half], targets[half])
    plain = replace(fitted, temperature=1.0, class_offsets=())
    honest, before = (
        calibration.apply(each, logits[~half], embeddings[~half]) for each in (fitted, plain)
    )
    asked, k = targets[~half], logits.shape[1]
    return Drawn(
        error=_classwise_error(honest, asked),
        uncalibrated=_classwise_error(before, asked),
        covered=_covered(honest.marginal_sets, asked),
        by_class=_covered(honest.conformal_sets, asked),
        answers=np.concatenate(
            [
                _answers(honest, sets, asked)
                for sets in (honest.marginal_sets, honest.conformal_sets)
            ]
        ),
        groups=np.array([len(np.unique(groups[half & (targets == n)])) for n in range(k)]),
    )


def _classwise_error(honest: Calibrated, targets: NDArray[np.int64]) -> float:
    found = estimates.of_probabilities(
        honest.probabilities, targets, np.ones((1, len(targets))), called=honest.called
    )
    return float(found["classwise_ece"][0, 0])


def _covered(sets: NDArray[np.bool_], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    is_in = sets[np.arange(len(targets)), targets]
    of_classes = [
        is_in[targets == number].mean() if (targets == number).any() else np.nan
        for number in range(sets.shape[1])
    ]
    return np.array([is_in.mean(), *of_classes])


def _answers(
    honest: Calibrated, sets: NDArray[np.bool_], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    answered = calibration.answered(sets, honest.ood_scores, honest.called)
    is_wrong = honest.called != targets
    return np.array([answered.mean(), is_wrong[answered].mean() if answered.any() else np.nan])


def _tell(
    name: str, architecture: str, classes: tuple[str, ...], drawn: list[Drawn], n: int
) -> None:
    error, before = (np.array([getattr(d, f) for d in drawn]) for f in ("error", "uncalibrated"))
    promised = 1 - calibration.ALPHA
    print(f"\n{name}, {architecture}: {n} images, {len(drawn)} redraws of groups")
    print(
        f"classwise error {error.mean():.3f} [{np.quantile(error, 0.025):.3f}, "
        f"{np.quantile(error, 0.975):.3f}] (asked {ASKED_ERROR}), without scaling "
        f"{before.mean():.3f}"
    )
    print(f"{'true class in the set':24}{'one limit':>12}{'of each class':>16}{'on groups':>16}")
    covered, by_class = (
        np.nanmean([getattr(d, f) for d in drawn], 0) for f in ("covered", "by_class")
    )
    groups = np.mean([d.groups for d in drawn], axis=0)
    print(f"{'all':24}{covered[0]:12.3f}{by_class[0]:16.3f}")
    answers = np.nanmean([each.answers for each in drawn], axis=0)
    print(f"{'answered':24}{answers[0]:12.3f}{answers[2]:16.3f}")
    print(f"{'wrong of the answered':24}{answers[1]:12.3f}{answers[3]:16.3f}")
    for number, each in enumerate(classes):
        few = "" if groups[number] >= ENOUGH else "  few"
        print(
            f"{each:24}{covered[number + 1]:12.3f}{by_class[number + 1]:16.3f}"
            f"{groups[number]:16.0f}{few}"
        )
    print(
        f"asked: {promised} to within {ASKED_COVERAGE}, of each class to within {ASKED_OF_CLASS} "
        f"where {ENOUGH} or more calibrate",
        flush=True,
    )
