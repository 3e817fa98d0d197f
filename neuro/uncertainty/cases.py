"""Several images of one patient or lesion as one answer, calibrated on cases as such.

A case is a group. What its images say is combined by the rule of the problem file; the result is
sharper or blunter than that of an image, so it has a temperature and conformal limits of its own,
fitted on the cases of the calibration split (``calibration``, ``conformal``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from neuro.problems.problem import MOST, CaseRule
from neuro.uncertainty import calibration, conformal
from neuro.uncertainty.calibration import ALPHA, MINIMUM

_LEAST = 1e-12  # of a probability, before its logarithm

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseCalibration:
    """Plain numbers, for JSON. rule: "" where the problem has none; finding: see ``CaseRule``.

    class_quantiles, class_counts: as of ``Calibration``, of cases. n: cases it was fitted on.
    n_mixed: cases left out, since their images have several labels.
    """

    rule: str = ""
    finding: str = ""
    temperature: float = 1.0
    class_quantiles: tuple[float, ...] = ()
    class_counts: tuple[int, ...] = ()
    alpha: float = ALPHA
    n: int = 0
    n_mixed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageAnswers:
    """What is known of some images, a row each.

    probabilities: calibrated, (n, k). balanced: the same by which an image is called. is_in_scope,
    groups: (n,).
    """

    classes: tuple[str, ...]
    probabilities: Floats
    balanced: Floats
    is_in_scope: NDArray[np.bool_]
    groups: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cases:
    """Combined answers, a row for each case, in the order of their names.

    n_images, n_in_scope: of each. probabilities: of the images in scope or, where none is, of all.
    """

    names: NDArray[np.str_]
    n_images: NDArray[np.int64]
    n_in_scope: NDArray[np.int64]
    probabilities: Floats
    called: NDArray[np.int64]
    conformal_sets: NDArray[np.bool_]


def balanced_of(probabilities: Floats, class_offsets: tuple[float, ...]) -> Floats:
    """Probabilities before the classes' shares were put back, (n, k), by the offsets alone."""
    if not class_offsets:
        return probabilities
    weights = probabilities * np.exp(-np.array(class_offsets))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def fit(rule: CaseRule, answers: ImageAnswers, targets: NDArray[np.int64]) -> CaseCalibration:
    """Fit on the calibration split. targets: class numbers of the images, (n,)."""
    if not rule.rule:
        return CaseCalibration()
    plain = CaseCalibration(rule=rule.rule, finding=rule.finding)
    names, codes = np.unique(answers.groups, return_inverse=True)
    truth = _truth(rule, answers.classes, codes, targets, len(names))
    combined = _combined(plain, answers, answers.probabilities, codes, len(names))
    known = truth >= 0
    combined, truth = combined[known], truth[known]
    k = len(answers.classes)
    temperature = 1.0
    if len(truth) >= MINIMUM:
        temperature = calibration.temperature_of(np.log(combined + _LEAST), truth)
    probabilities = _scaled(combined, temperature)
    return CaseCalibration(
        rule=rule.rule,
        finding=rule.finding,
        temperature=temperature,
        class_quantiles=tuple(conformal.fit_by_class(probabilities, truth, ALPHA).tolist()),
        class_counts=tuple(np.bincount(truth, minlength=k).tolist()),
        n=len(truth),
        n_mixed=int((~known).sum()),
    )


def apply(fitted: CaseCalibration, answers: ImageAnswers) -> Cases:
    """The answers of the images as answers of their cases."""
    names, codes = np.unique(answers.groups, return_inverse=True)
    m = len(names)
    combined = _combined(fitted, answers, answers.probabilities, codes, m)
    probabilities = _scaled(combined, fitted.temperature)
    called = _combined(fitted, answers, answers.balanced, codes, m).argmax(axis=1)
    return Cases(
        names=names,
        n_images=np.bincount(codes, minlength=m),
        n_in_scope=np.bincount(codes[answers.is_in_scope], minlength=m),
        probabilities=probabilities,
        called=np.asarray(called),
        conformal_sets=conformal.sets(probabilities, np.array(fitted.class_quantiles)),
    )


def truth_of(
    fitted: CaseCalibration,
    classes: tuple[str, ...],
    groups: NDArray[np.str_],
    targets: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The class of each case, in the order of their names; -1 where its images have several."""
    rule = CaseRule(rule=fitted.rule, finding=fitted.finding)
    names, codes = np.unique(groups, return_inverse=True)
    return _truth(rule, classes, codes, targets, len(names))


def _truth(
    rule: CaseRule,
    classes: tuple[str, ...],
    codes: NDArray[np.intp],
    targets: NDArray[np.int64],
    m: int,
) -> NDArray[np.int64]:
    """With ``most`` a case has the finding if one of its images has it."""
    of_class = np.zeros((m, len(classes)), np.int64)
    np.add.at(of_class, (codes, targets), 1)
    truth = np.where((of_class > 0).sum(axis=1) == 1, of_class.argmax(axis=1), -1)
    if rule.rule == MOST:
        number = classes.index(rule.finding)
        truth = np.where(of_class[:, number] > 0, number, truth)
    return np.asarray(truth, np.int64)


def _combined(
    fitted: CaseCalibration,
    answers: ImageAnswers,
    probabilities: Floats,
    codes: NDArray[np.intp],
    m: int,
) -> Floats:
    """Probabilities of the cases, (m, k): of their images in scope or, where none is, of all."""
    has_one = np.bincount(codes[answers.is_in_scope], minlength=m) > 0
    counts = answers.is_in_scope | ~has_one[codes]
    rows, of_case = probabilities[counts], codes[counts]
    if fitted.rule == MOST:
        finding = rows[:, answers.classes.index(fitted.finding)]
        order = np.lexsort((finding, of_case))  # the last of each case shows most
        last = np.flatnonzero(np.diff(of_case[order], append=m))
        return np.asarray(rows[order[last]])
    total = np.zeros((m, probabilities.shape[1]))
    np.add.at(total, of_case, rows)
    return np.asarray(total / np.bincount(of_case, minlength=m)[:, None])


def _scaled(combined: Floats, temperature: float) -> Floats:
    scaled: Floats = softmax(np.log(combined + _LEAST) / temperature, axis=1)
    return scaled
