"""What `neuro explain` does: an image, a sample or the errors on a split, with maps of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import evaluate as evaluation
from neuro.evaluation.evaluate import Answers, Evaluation
from neuro.features import similar_cases
from neuro.images import preprocess, preview
from neuro.lake import images
from neuro.lake.lake import Lake
from neuro.prediction import predict
from neuro.problems.problem import Problem
from neuro.reports import answers as cases
from neuro.reports import evaluation_page, explanation_page, render
from neuro.reports.answers import Shown
from neuro.reports.evaluation_page import Mapped
from neuro.reports.page_paths import ReleasePage
from neuro.sample import Prediction
from tasks import count_look, explanations
from tasks import evaluate as steps
from tasks.load import models, release_data
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.runtime import settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be explained, by which model, beside which release (None for the current one).

    image: a digest, a source name or a file; "" for the errors on ``split``.
    """

    model: str
    image: str = ""
    split: str = "val"
    release: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Answers with what stands beside them, and the page. looks: said of the look, "" for none."""

    model: Model
    answers: Sequence[Mapping[str, Any]]
    shown: Shown
    mapped: Mapped
    page: Path
    looks: str

    def as_dict(self) -> dict[str, Any]:
        """What ``neuro explain --json`` prints."""
        return {
            "model": self.model.version,
            "maps": list(self.mapped.said),
            "looks": self.looks,
            "answers": [
                {
                    **answer,
                    "has_map": bool(
                        (maps := self.shown.maps.get(answer["sample_id"])) and maps.called
                    ),
                    "nearest": [
                        {"sample_id": near.sample_id, "label": near.label, "cosine": near.cosine}
                        for near in self.shown.nearest.get(answer["sample_id"], ())
                    ],
                }
                for answer in self.answers
            ],
            "page": str(self.page),
        }


def explain(lake: Lake, problem: Problem, asked: Asked, out: Path | None = None) -> Explanation:
    """Explain one image, or the errors on a split that the model is surest of, and draw the page.

    out: where to; by default below the home folder. The errors on test are a look, and counted.
    Raises UnknownNameError for a sample that is not there, BadImageError for a refused file.
    """
    model = _model(lake, problem, asked.model)
    known = model.problem_as_trained(problem)
    loaded = release_data.load(lake, known, asked.release, model.splitting)
    loaded = steps.without_seen(loaded, model)
    return (
        _of_image(loaded, model, asked, out) if asked.image else _errors(loaded, model, asked, out)
    )


def _model(lake: Lake, problem: Problem, name: str) -> Model:
    """A package folder, or a version where a registry is at hand."""
    if Path(name).is_dir() or not settings.load().mlflow_tracking_uri:
        return models.load(problem, name, lake)
    return models.by_version(problem, name, lake)


def _errors(loaded: Loaded, model: Model, asked: Asked, out: Path | None) -> Explanation:
    steps.check(loaded, model, asked.split)
    scored = evaluation.evaluate(
        model.engine, loaded.frames, asked.split, model_version=model.version
    )
    looks = ""
    if asked.split == "test":
        n = len(scored.targets)
        looks = str(count_look.count(loaded, model, read_by="explanation", n=n))
    rows, _ = evaluation_page.shown_samples(scored)
    found = explanations.of_answers(loaded, model, scored, rows)
    nearest = explanations.nearest(scored, rows, _trained(loaded, model))
    pictures = _pictures(loaded, {*scored.sample_ids[rows].tolist(), *_ids(nearest)})
    shown = Shown(
        pictures=pictures,
        maps=explanations.overlays(found, scored, pictures, model.package),
        nearest=nearest,
    )
    answers = [cases.case(scored, int(row)) for row in rows]
    n_wrong = int((~scored.is_right).sum())
    of = f"{len(rows)} of {n_wrong} errors on {asked.split}, those it is surest of"
    return _drawn(loaded, model, out, answers, shown, found.mapped, of, asked.split, looks)


def _of_image(loaded: Loaded, model: Model, asked: Asked, out: Path | None) -> Explanation:
    sha256, stored = _image(loaded, asked.image)
    card = model.package.card
    frame = preprocess.frame(stored, card.preprocess)[None]
    (prediction,) = predict.predict(model.engine, frame, [sha256], model_version=model.version)
    _, embeddings = predict.outputs(model.engine, frame)
    answer = _unlabelled(prediction, card.classes, embeddings, _group(loaded, sha256))
    row = np.zeros(1, np.int64)
    scored = _validated(loaded, model)
    found = explanations.of_image(loaded, model, frame, scored)
    nearest = explanations.nearest(answer, row, _trained(loaded, model))
    pictures = _pictures(loaded, _ids(nearest)) | {sha256: preview.small(stored)}
    shown = Shown(
        pictures=pictures,
        maps=explanations.overlays(found, answer, pictures, model.package),
        nearest=nearest,
    )
    called = card.classes.index(prediction.predicted)
    likeliest = int(np.argmax(prediction.probabilities))
    told = {
        "sample_id": sha256,
        "label": "",
        "says": prediction.predicted,
        "sure": prediction.probabilities[called],
        "more_probable": card.classes[likeliest] if likeliest != called else "",
        "set": list(prediction.conformal_set),
        "decision": prediction.decision,
        "reason": prediction.reason,
    }
    of = f"image {sha256[:12]}: {prediction.decision.replace('_', ' ')}. {prediction.reason}"
    return _drawn(loaded, model, out, [told], shown, found.mapped, of, sha256[:16])


def _unlabelled(
    prediction: Prediction, classes: tuple[str, ...], embeddings: NDArray[np.float32], group: str
) -> Answers:
    return Answers(
        split="",
        model_version=prediction.model_version,
        classes=classes,
        sample_ids=np.array([prediction.sample_id]),
        groups=np.array([group]),
        targets=np.array([-1]),
        called=np.array([classes.index(prediction.predicted)]),
        probabilities=np.array([prediction.probabilities]),
        embeddings=embeddings,
    )


def _group(loaded: Loaded, sample_id: str) -> str:
    """The group of a sample; a file that is not in the release is one by itself."""
    rows = np.flatnonzero(loaded.frames.sample_ids == sample_id)
    return str(loaded.frames.groups[rows[0]]) if len(rows) else sample_id


def _image(loaded: Loaded, image: str) -> tuple[str, bytes]:
    """Digest and clean bytes of a file, vetted and kept nowhere, or of a sample."""
    if Path(image).is_file():
        clean = similar_cases.vetted(Path(image))
        return clean.sha256, clean.stored
    meant = similar_cases.find(loaded.samples, loaded.problem, image)
    ((sample_id, stored),) = images.stored_bytes(loaded.lake, loaded.release, [meant.sample_id])
    return sample_id, stored


def _trained(loaded: Loaded, model: Model) -> Evaluation | None:
    return _some(loaded, model, "train")


def _validated(loaded: Loaded, model: Model) -> Evaluation | None:
    return _some(loaded, model, "val")


def _some(loaded: Loaded, model: Model, split: str) -> Evaluation | None:
    """The answers to some of a split, None for one that is empty."""
    rows = steps.some_of(loaded.frames.labelled(split))
    if not len(rows):
        return None
    return evaluation.evaluate(
        model.engine, loaded.frames, split, model_version=model.version, rows=rows
    )


def _pictures(loaded: Loaded, wanted: set[str]) -> dict[str, bytes]:
    undamaged = images.undamaged(loaded.lake, loaded.release, sorted(wanted))
    return {sample_id: preview.small(raw) for sample_id, raw in undamaged}


def _ids(nearest: Mapping[str, Sequence[cases.Near]]) -> set[str]:
    return {each.sample_id for some in nearest.values() for each in some}


def _drawn(
    loaded: Loaded,
    model: Model,
    out: Path | None,
    answers: Sequence[Mapping[str, Any]],
    shown: Shown,
    mapped: Mapped,
    of: str,
    name: str,
    looks: str = "",
) -> Explanation:
    page = explanation_page.build(
        answers,
        model.package.card,
        shown,
        mapped,
        of=of,
        release=loaded.release.name,
        looks=looks,
        is_synthetic=loaded.release.is_synthetic,
    )
    place = ReleasePage(
        release=loaded.release.name,
        problem=loaded.problem.name,
        evaluated=f"{model.version[:16]}-explained-{name}",
    )
    path = render.write(out or place.path(settings.load().home), page)
    return Explanation(
        model=model, answers=answers, shown=shown, mapped=mapped, page=path, looks=looks
    )
