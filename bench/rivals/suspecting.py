"""Run as a program, by any Python that has cleanlab: rank labels by how wrong they seem.

Usage: suspecting.py REQUEST.npz ANSWER.npz. REQUEST holds rows (n, d) and labels (n,) as class
numbers; ANSWER gets self_confidence and margin (n,), higher is more suspect, flagged (n,) and
cpu_s. As cleanlab's tutorial does: scikit-learn's cross-validated logistic regression, stratified.
"""

import importlib
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDS = 5


def main(asked: Path, answer: Path) -> None:
    given = np.load(asked)
    rows, labels = given["rows"], given["labels"]
    sklearn: Any = importlib.import_module("sklearn.linear_model")
    selection: Any = importlib.import_module("sklearn.model_selection")
    pipeline: Any = importlib.import_module("sklearn.pipeline")
    scaling: Any = importlib.import_module("sklearn.preprocessing")
    cleanlab: Any = importlib.import_module("cleanlab")
    before = _cpu_s()
    model = pipeline.make_pipeline(
        scaling.StandardScaler(), sklearn.LogisticRegression(max_iter=300)
    )
    probability = selection.cross_val_predict(model, rows, labels, cv=FOLDS, method="predict_proba")
    rank, kept = cleanlab.rank, cleanlab.filter
    np.savez(
        answer,
        self_confidence=-rank.get_label_quality_scores(
            labels, probability, method="self_confidence"
        ),
        margin=-rank.get_label_quality_scores(labels, probability, method="normalized_margin"),
        flagged=kept.find_label_issues(labels, probability),
        cpu_s=_cpu_s() - before,
    )


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
