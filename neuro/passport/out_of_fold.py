"""What a classifier tells of samples whose group it has not seen: five folds by group, seeded."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

FOLDS = 5

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


def probabilities(
    new_classifier: Callable[[], Any],
    features: NDArray[np.float32],
    targets: Rows,
    groups: Sequence[str],
    *,
    otherwise: Floats,
    fewest: int = 1,
    floor: float = 0.0,
) -> Floats:
    """Probability of each class for each sample, (n, k), from classifiers that saw no group mate.

    new_classifier: makes one of scikit-learn's. features: (n, d). otherwise: (k,), for classes that
    could not be learnt. fewest: members without which a class is not learnt; where that leaves one
    class, nothing is. floor: least probability of a class that was learnt.
    """
    shares = np.tile(otherwise, (len(targets), 1))
    names, group = np.unique(np.array(groups, np.str_), return_inverse=True)
    folds = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[group]
    with threadpool_limits(1):
        for fold in np.unique(folds):
            test = folds == fold
            counts = np.bincount(targets[~test], minlength=len(otherwise))
            train = ~test & (counts[targets] >= fewest)
            if not train.any() or (fewest > 1 and (counts >= fewest).sum() < 2):
                continue
            classifier = new_classifier().fit(features[train], targets[train])
            learnt = classifier.predict_proba(features[test])
            shares[np.ix_(test, classifier.classes_)] = np.maximum(learnt, floor)
    return shares
