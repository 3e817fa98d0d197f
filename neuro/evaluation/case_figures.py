"""How right the answers to cases are: each patient or lesion counts once, and is its own group."""

import numpy as np

from neuro.evaluation import evaluate
from neuro.evaluation.evaluate import Answers, Evaluation
from neuro.models.package import Card
from neuro.uncertainty import cases
from neuro.uncertainty.cases import ImageAnswers


def of_images(card: Card, images: Evaluation) -> Evaluation | None:
    """The evaluation of the cases of these images; None without a rule or without a known case.

    A case whose images have several labels is left out, unless the rule says what it is.
    """
    if not card.cases.rule or images.ood_scores is None:
        return None
    balanced = images.probabilities if images.balanced is None else images.balanced
    answers = ImageAnswers(
        classes=card.classes,
        probabilities=images.probabilities,
        balanced=balanced,
        is_in_scope=images.ood_scores <= 1,
        groups=images.groups,
    )
    found = cases.apply(card.cases, answers)
    truth = cases.truth_of(card.cases, card.classes, images.groups, images.targets)
    known = truth >= 0
    if not known.any():
        return None
    return evaluate.of_answers(
        Answers(
            split=images.split,
            model_version=images.model_version,
            classes=card.classes,
            sample_ids=found.names[known],
            groups=found.names[known],
            targets=truth[known],
            called=found.called[known],
            probabilities=found.probabilities[known],
            conformal_sets=found.conformal_sets[known],
            ood_scores=np.where(found.n_in_scope[known] > 0, 0.0, 2.0),
        )
    )
