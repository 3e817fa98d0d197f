"""What an evaluation found, as one page: in plain words, with figures, curves and the worst errors.

The figures in its tables are those that ``--json`` prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import (
    abstention,
    case_figures,
    conformal_coverage,
    figures,
    metrics,
    operating_points,
    reliability,
)
from neuro.evaluation.baselines import Baseline
from neuro.evaluation.comparison import Comparison
from neuro.evaluation.conformal_coverage import Coverage
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.operating_points import OperatingPoint
from neuro.evaluation.stress import Stressed
from neuro.evaluation.subgroups import Subgroup, Subgroups
from neuro.models.package import Card
from neuro.problems.problem import MEAN, MOST
from neuro.reports import answers, charts, evaluation_charts, passport_text, render
from neuro.reports.answers import Shown
from neuro.reports.passport_text import Advice, SealedPassport
from neuro.sample import EXTERNAL, Metric

WORST, DOUBTFUL = 24, 12  # pictures of errors, and of right answers
DIFFERING = 24  # pictures of what one model gets right and another wrong, each way
# What is asked, by split: how far its images were known to the model.
ASKED = {
    "test": "labelled images that it had never seen",
    "val": "labelled images that its training was watched on",
    "calibration": "labelled images that its probabilities were set by, which flatters them",
    "train": "labelled images that it learnt from, which flatters it",
    EXTERNAL: "labelled images of another source",
}
NAMED = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro-F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "ECE",
    "classwise_ece": "Classwise ECE",
    "lookup": "look-up of the most similar image",
    "confounds": "clues that are not the picture",
    "pixels_pca_logistic": "simple classifier of the pixels",
    "descriptors_boosting": "simple classifier of picture measures",
}
OF_DATA = ("twins", "lookup", "confounds", "sources", "grouping")  # parts of a passport
_RULES = {
    MEAN: "the mean of what is said of its images",
    MOST: "what is said of the image that looks most like {}",
}
SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "auprc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What stands beside the figures.

    looks: at the test set, "" for another split. external: what the images of another source are.
    card: where the model's card lies.
    """

    release: str
    is_synthetic: bool
    looks: str
    leak: str
    missing: str
    external: str = ""
    card: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapped:
    """Whether maps of where the model looked can be believed. said: in sentences.

    rows: what is marked first, insertion less deletion, and in how many the map is better. n: right
    answers that were asked.
    """

    said: Sequence[str]
    rows: Sequence[tuple[str, ...]] = ()
    n: int = 0


def all_shown(evaluation: Evaluation, compared: Comparison | None) -> NDArray[np.int64]:
    """Rows of every sample whose picture the page shows."""
    rows = [*shown_samples(evaluation)]
    if compared is not None:
        rows += [compared.gained[:DIFFERING], compared.lost[:DIFFERING]]
    return np.unique(np.concatenate(rows))


def shown_samples(evaluation: Evaluation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the errors that it is surest of, and of the right answers that it doubts most."""
    sure, is_right = evaluation.confidence, evaluation.is_right
    wrong, right = np.flatnonzero(~is_right), np.flatnonzero(is_right)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    doubtful = right[np.argsort(sure[right], kind="stable")][:DOUBTFUL]
    return worst, doubtful


def build(
    evaluation: Evaluation,
    card: Card,
    told: Told,
    *,
    baselines: Sequence[Baseline],
    subgroups: Subgroups,
    shown: Shown,
    passport: SealedPassport | None = None,
    mapped: Mapped | None = None,
    compared: Comparison | None = None,
    stressed: Sequence[Stressed] = (),
    points: Sequence[OperatingPoint] = (),
) -> str:
    """The page. shown: what stands beside each answer.

    passport: of the release. mapped: whether the maps can be believed. compared: with another
    model. stressed: the answers to worse pictures. points: at which to answer. None of these need
    be there.
    """
    worst, doubtful = shown_samples(evaluation)
    answered, risk = reliability.risk_coverage(evaluation)
    coverage, of_one_limit = (
        conformal_coverage.by_class(evaluation, sets)
        for sets in (evaluation.conformal_sets, evaluation.marginal_sets)
    )
    by_name = {metric.name: metric for metric in evaluation.metrics}
    drawn = told.is_synthetic
    return render.render(
        "evaluation.html",
        evaluation=evaluation,
        card=card,
        told=told,
        is_synthetic=told.is_synthetic,
        n_groups=len(np.unique(evaluation.groups)),
        accuracy=by_name["accuracy"],
        asked=ASKED.get(evaluation.split, "labelled images"),
        least_found=_least_found(evaluation, by_name),
        scores=[(NAMED[name], str(by_name[name])) for name in SHOWN if name in by_name],
        losses=[(NAMED[name], str(by_name[name])) for name in metrics.LOSSES if name in by_name],
        of_classes=_of_classes(evaluation, by_name),
        baselines=[_baseline_row(baseline) for baseline in baselines],
        is_beaten=_is_beaten(by_name.get("macro_f1"), baselines),
        decisions=abstention.decisions(evaluation),
        coverage=[_coverage_row(each) for each in coverage],
        of_one_limit=[_coverage_row(each) for each in of_one_limit],
        without_own_limit=[card.classes[n] for n in card.calibration.without_own_quantile],
        answered_at=[
            (f"{most:.0%}", f"{share:.0%}")
            for most, share in reliability.answered_at(evaluation).items()
        ],
        points=[_point_row(each) for each in points],
        cases=_of_cases(card, evaluation, by_name),
        sure_of_points=f"{1 - operating_points.DELTA:.0%}",
        few_to_calibrate=card.calibration.n < reliability.FEW_TO_CALIBRATE,
        least_to_calibrate=reliability.FEW_TO_CALIBRATE,
        reliability=evaluation_charts.reliability(reliability.diagram(evaluation)),
        risk=evaluation_charts.risk_coverage(answered, risk),
        confusion=charts.png(figures.draw_confusion(evaluation, title="", synthetic=drawn)),
        curves=charts.png(figures.draw_curves(evaluation, title="", synthetic=drawn)),
        subgroups=subgroups,
        subgroup_rows=[_subgroup_row(each) for each in subgroups.shown],
        forest=(
            evaluation_charts.forest(by_name["accuracy"], subgroups.shown)
            if subgroups.shown
            else None
        ),
        worst=[answers.case(evaluation, int(row)) for row in worst],
        doubtful=[answers.case(evaluation, int(row)) for row in doubtful],
        n_wrong=int((~evaluation.is_right).sum()),
        shown=shown,
        data_said=_data_said(passport),
        nearest_said=answers.nearest_said(shown),
        maps_said=mapped.said if mapped else (),
        map_gaps=mapped.rows if mapped else (),
        n_mapped=mapped.n if mapped else 0,
        compared=_compared(compared) if compared else None,
        stressed=[_stress_row(each) for each in stressed],
        stress_chart=evaluation_charts.stress(stressed) if stressed else None,
        n_stressed=stressed[0].n if stressed else 0,
    )


def _data_said(passport: SealedPassport | None) -> list[Advice]:
    """What the passport says of leaks and confounds."""
    if passport is None:
        return []
    return [advice for advice in passport_text.advise(passport) if advice.key in OF_DATA]


def _stress_row(each: Stressed) -> tuple[str, ...]:
    right = each.right_of_answered
    shares = (each.accuracy, each.answered, right)
    told = ["none" if share is None else f"{share:.1%}" for share in shares]
    return (each.change, str(each.strength), f"{each.amount:g}", *told)


def _compared(compared: Comparison) -> dict[str, Any]:
    """What the page shows of another model."""
    return {
        "other": compared.other.model_version,
        "differences": [(each.name, str(each)) for each in compared.differences],
        "n_gained": len(compared.gained),
        "n_lost": len(compared.lost),
        "both_wrong": compared.both_wrong,
        "gained": [answers.case(compared.model, int(row)) for row in compared.gained[:DIFFERING]],
        "lost": [answers.case(compared.model, int(row)) for row in compared.lost[:DIFFERING]],
    }


def _of_cases(
    card: Card, evaluation: Evaluation, of_images: Mapping[str, Metric]
) -> dict[str, Any] | None:
    """What the page shows of answers to patients or lesions; None where there are none."""
    found = case_figures.of_images(card, evaluation)
    if found is None:
        return None
    of_cases = {metric.name: metric for metric in found.metrics}
    coverage = conformal_coverage.by_class(found, found.conformal_sets)
    return {
        "rule": _RULES[card.cases.rule].format(card.cases.finding),
        "n": len(found.targets),
        "several": int((np.unique(evaluation.groups, return_counts=True)[1] > 1).sum()),
        "scores": [
            (NAMED[name], str(of_cases[name]), str(of_images[name]))
            for name in (*SHOWN, *metrics.LOSSES)
            if name in of_cases and name in of_images
        ],
        "coverage": [_coverage_row(each, "all cases") for each in coverage],
        "decisions": abstention.decisions(found),
    }


def _of_classes(
    evaluation: Evaluation, by_name: Mapping[str, Metric]
) -> list[tuple[str | int, ...]]:
    """A row for each class: n, groups, and its figures."""
    rows: list[tuple[str | int, ...]] = []
    for name in evaluation.classes:
        recall = by_name.get(f"recall_{name}")
        if recall is not None:
            found = [by_name.get(f"{figure}_{name}") for figure in metrics.OF_A_CLASS]
            rows.append((name, recall.n, recall.groups, *(str(each or "none") for each in found)))
    return rows


def _least_found(evaluation: Evaluation, by_name: Mapping[str, Metric]) -> tuple[str, str] | None:
    """The class of the lowest recall, with it; None of one class."""
    recalls = {
        name: metric
        for name in evaluation.classes
        if (metric := by_name.get(f"recall_{name}")) is not None
    }
    if len(recalls) < 2:
        return None
    name = min(recalls, key=lambda each: recalls[each].value)
    return name, f"{recalls[name].value:.0%}"


def _baseline_row(baseline: Baseline) -> tuple[str, ...]:
    by_name = {metric.name: str(metric) for metric in baseline.metrics}
    figures = [by_name.get(name, "none") for name in ("accuracy", "macro_f1")]
    return (NAMED.get(baseline.name, baseline.name), *figures, baseline.reason)


def _is_beaten(macro_f1: Metric | None, baselines: Sequence[Baseline]) -> str:
    """The name of a baseline that the model is not shown to be better than, "" for none.

    By macro-F1: what always names the commonest class may have the higher accuracy.
    """
    for baseline in baselines:
        for metric in baseline.metrics:
            is_it = macro_f1 is not None and metric.name == macro_f1.name
            if is_it and macro_f1 is not None and metric.value >= macro_f1.low:
                return NAMED.get(baseline.name, baseline.name)
    return ""


def _point_row(each: OperatingPoint) -> tuple[str | int, ...]:
    of = f"images of {each.name}" if each.name else "all images"
    if each.confidence is None:
        return (of, f"{each.risk:.0%}", "none is known to hold it", each.groups, "", "")
    shares = ["none" if v is None else f"{v:.1%}" for v in (each.answered, each.wrong)]
    return (of, f"{each.risk:.0%}", f"{each.confidence:.3f}", each.groups, *shares)


def _coverage_row(each: Coverage, everything: str = "all images") -> tuple[str | int, ...]:
    shares = [f"{share:.1%}" for share in (each.single, each.empty)]
    return (each.name or everything, each.n, f"{each.covered:.1%}", f"{each.size:.2f}", *shares)


def _subgroup_row(each: Subgroup) -> tuple[str | int, ...]:
    recalls = "; ".join(f"{m.name.removeprefix('recall_')} {m}" for m in each.recalls)
    difference = "none" if each.difference is None else f"{each.difference:+.3f}"
    chance = "none" if each.chance is None else f"{each.chance:.3f}"
    if each.chance is not None and each.chance < 0.001:
        chance = "under 0.001"
    known = (each.column, each.value, each.accuracy.n, str(each.accuracy))
    return (*known, recalls or "none", difference, chance)
