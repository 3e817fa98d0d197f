"""Where a model looked, and what it has seen that is alike: what stands beside its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from neuro.errors import ConfigError, NeuroError, PackageError
from neuro.evaluation import stress
from neuro.evaluation.evaluate import Answers, Evaluation
from neuro.explanation import class_maps, explain
from neuro.explanation.class_maps import Mapper
from neuro.explanation.explain import Explained
from neuro.models.package import Package
from neuro.reports import map_overlay
from neuro.reports.answers import Maps, Near
from neuro.reports.evaluation_page import Mapped
from tasks.load.models import Model
from tasks.load.release_data import Loaded

NEAREST = 3

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanations:
    """Maps of some rows of an evaluation, and whether they can be believed.

    rows: of the evaluation, (n,). told: None for a network whose layers keep no places. cells: how
    many places across a map are told apart.
    """

    rows: NDArray[np.int64]
    told: Explained | None
    mapped: Mapped
    cells: int = 0


def of_answers(
    loaded: Loaded, model: Model, answers: Answers, rows: NDArray[np.int64]
) -> Explanations:
    """Maps of these rows of the answers, and the check of all maps on right answers of theirs."""
    try:
        mapper = class_maps.load(model.package)
    except (ConfigError, PackageError) as error:
        return _without_maps(rows, error)
    pixels = _pixels(loaded, answers, rows)
    # An error is held against the label, a right answer against the next likely class.
    labels = np.where(answers.is_right[rows], -1, answers.targets[rows])
    told = explain.explain(explain.answers_of(model.engine), mapper, pixels, instead=labels)
    return Explanations(
        rows=rows, told=told, mapped=check(loaded, model, mapper, answers), cells=mapper.cells
    )


def of_image(
    loaded: Loaded, model: Model, frame: NDArray[np.uint8], scored: Evaluation | None
) -> Explanations:
    """Maps of one frame, (1, side, side, channels), checked on the right answers of ``scored``."""
    try:
        mapper = class_maps.load(model.package)
    except (ConfigError, PackageError) as error:
        return _without_maps(np.zeros(1, np.int64), error)
    told = explain.explain(explain.answers_of(model.engine), mapper, frame)
    mapped = Mapped(said=("No labelled image of val is at hand to check the map on.",))
    if scored is not None:
        mapped = check(loaded, model, mapper, scored)
    return Explanations(rows=np.zeros(1, np.int64), told=told, mapped=mapped, cells=mapper.cells)


def _without_maps(rows: NDArray[np.int64], error: NeuroError) -> Explanations:
    return Explanations(rows=rows, told=None, mapped=Mapped(said=(f"No maps: {error}",)))


def check(loaded: Loaded, model: Model, mapper: Mapper, answers: Answers) -> Mapped:
    """Whether the maps of right answers point at what decides, on ``explain.MOST`` at most."""
    right = np.flatnonzero(answers.is_right)
    chosen = stress.some(right, answers.groups, explain.MOST)
    if not len(chosen):
        return Mapped(said=("No answer is right, so that no map was checked.",))
    pixels = _pixels(loaded, answers, chosen)
    told = explain.explain(explain.answers_of(model.engine), mapper, pixels)
    checked = explain.check(explain.answers_of(model.engine), mapper, pixels, told)
    _, said = explain.verdict(checked)
    _log.info("maps: %s", said)
    return Mapped(
        said=(said,),
        n=len(chosen),
        rows=[
            (
                name,
                f"{gap.mean():+.3f}",
                "" if name == explain.SHOWN else f"{checked.beats(name):.0%}",
            )
            for name, gap in checked.gaps.items()
        ],
    )


def overlays(
    found: Explanations, answers: Answers, pictures: Mapping[str, bytes], package: Package
) -> dict[str, Maps]:
    """The maps over their pictures, by sample_id; of what has a picture."""
    if found.told is None:
        return {}
    spec, told, drawn = package.card.preprocess, found.told, dict[str, Maps]()
    for number, row in enumerate(found.rows.tolist()):
        sample_id = str(answers.sample_ids[row])
        if sample_id in pictures:
            small = pictures[sample_id]
            drawn[sample_id] = Maps(
                called=map_overlay.overlay(small, told.maps[number], spec, found.cells),
                instead=map_overlay.overlay(small, told.against[number], spec, found.cells),
                against=package.card.classes[int(told.instead[number])],
            )
    return drawn


def nearest(
    answers: Answers, rows: NDArray[np.int64], trained: Evaluation | None
) -> dict[str, list[Near]]:
    """The training images of other groups whose embeddings are nearest to the rows', nearest first.

    trained: the evaluation on train, or on some of it; nothing without its embeddings.
    """
    if not len(rows) or trained is None or trained.embeddings is None or answers.embeddings is None:
        return {}
    cosines = normalize(answers.embeddings[rows]) @ normalize(trained.embeddings).T
    found = {}
    for row, of_row in zip(rows.tolist(), cosines, strict=True):
        of_row[trained.groups == answers.groups[row]] = -np.inf  # itself, or its twins
        best = [n for n in np.argsort(-of_row, kind="stable")[:NEAREST].tolist() if of_row[n] >= -1]
        found[str(answers.sample_ids[row])] = [
            Near(
                sample_id=str(trained.sample_ids[place]),
                label=trained.classes[int(trained.targets[place])],
                cosine=float(of_row[place]),
            )
            for place in best
        ]
    return found


def _pixels(
    loaded: Loaded, answers: Answers, rows: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The frames of rows of the answers. A release's frames lie in the order of its sample_ids."""
    places = np.searchsorted(loaded.frames.sample_ids, answers.sample_ids[rows])
    return np.asarray(loaded.frames.pixels[places])
