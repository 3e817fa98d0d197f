"""A table of answers to images as one of answers to cases: a row for each patient or lesion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from neuro.models.package import Card
from neuro.prediction import predict
from neuro.sample import REFUSED, Prediction
from neuro.uncertainty import cases
from neuro.uncertainty.cases import Floats, ImageAnswers


def table(card: Card, images: pa.Table, cases_of: Mapping[str, str]) -> pa.Table:
    """One row for each case, by its name. images: as they are written, a column for each class.

    cases_of: the case of each image, by the name of its file or, where there is no column ``file``,
    its SHA-256; an image without one, or refused, is in none.
    """
    key = "file" if "file" in images.column_names else "sha256"
    named = pa.array([cases_of.get(name, "") for name in images[key].to_pylist()], pa.string())
    is_counted = pc.and_(pc.not_equal(named, ""), pc.not_equal(images["decision"], REFUSED))
    images, named = images.filter(is_counted), named.filter(is_counted)
    probabilities = np.column_stack(
        [images[f"p_{name}"].to_numpy() for name in card.classes]
    ).reshape(images.num_rows, len(card.classes))
    found = _applied(card, probabilities, images["ood_score"].to_numpy(), named.to_pylist())
    versions = images["model_version"].to_pylist()
    rows = [_row(card, found, row, versions[0]) for row in range(len(found.names))]
    return pa.Table.from_pylist(rows, _schema(card))


def one(card: Card, images: Sequence[Prediction]) -> dict[str, Any]:
    """The row of one case that has these images, one at least; its name is ""."""
    probabilities = np.array([each.probabilities for each in images])
    ood_scores = np.array([each.ood_score for each in images])
    found = _applied(card, probabilities, ood_scores, [""] * len(images))
    return _row(card, found, 0, images[0].model_version)


def _applied(
    card: Card, probabilities: Floats, ood_scores: Floats, names: Sequence[str]
) -> cases.Cases:
    answers = ImageAnswers(
        classes=card.classes,
        probabilities=probabilities,
        balanced=cases.balanced_of(probabilities, card.calibration.class_offsets),
        is_in_scope=ood_scores <= 1,
        groups=np.array(names, dtype=np.str_),
    )
    return cases.apply(card.cases, answers)


def _row(card: Card, found: cases.Cases, row: int, version: str) -> dict[str, Any]:
    classes = card.classes
    in_set = tuple(np.array(classes)[found.conformal_sets[row]].tolist())
    called, n = classes[int(found.called[row])], int(found.n_images[row])
    if found.n_in_scope[row]:
        decision, reason = predict.decision(in_set, called, ("", 0.0), card.cases.alpha)
    else:
        decision, reason = "out_of_scope", f"None of its {n} images is in scope."
    return {
        "case": str(found.names[row]),
        "images": n,
        "in_scope": int(found.n_in_scope[row]),
        "predicted": called,
        "decision": decision,
        "reason": reason,
        "conformal_set": list(in_set),
        "model_version": version,
        **{
            f"p_{name}": float(found.probabilities[row, number])
            for number, name in enumerate(classes)
        },
    }


def _schema(card: Card) -> pa.Schema:
    texts = {name: pa.string() for name in ("predicted", "decision", "reason")}
    return pa.schema(
        {
            "case": pa.string(),
            "images": pa.int64(),
            "in_scope": pa.int64(),
            **texts,
            "conformal_set": pa.list_(pa.string()),
            "model_version": pa.string(),
            **{f"p_{name}": pa.float64() for name in card.classes},
        }
    )
