"""The page of an evaluation: what is known of its samples, their pictures, and where it lies."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.evaluation import subgroups
from neuro.evaluation.baselines import Baseline
from neuro.evaluation.comparison import Comparison
from neuro.evaluation.evaluate import Evaluation
from neuro.evaluation.operating_points import OperatingPoint
from neuro.evaluation.stress import Stressed
from neuro.evaluation.subgroups import Subgroups
from neuro.images import preview
from neuro.lake import images, sample_metadata
from neuro.reports import evaluation_page, exploration_data, render
from neuro.reports.answers import Shown
from neuro.reports.evaluation_page import Told
from neuro.reports.page_paths import ReleasePage
from tasks import explanations, model_card
from tasks.load.models import Model
from tasks.load.release_data import Loaded
from tasks.runtime import settings

_YEARS = (18, 40, 60, 80)  # where a band begins
_BANDS = ("0 to 17", "18 to 39", "40 to 59", "60 to 79", "80 or older")
_IDS = ("patient_id", "lesion_id", "subject", "id")


def compare_subgroups(loaded: Loaded, evaluation: Evaluation) -> Subgroups:
    """The evaluation by every column that is known of its samples."""
    return subgroups.compare(evaluation, known_of(loaded, evaluation.sample_ids.tolist()))


def known_of(loaded: Loaded, sample_ids: Sequence[str]) -> dict[str, NDArray[np.str_]]:
    """What may divide samples into subgroups, (n,) str each, "" where it is not known."""
    described = sample_metadata.described(loaded.lake, loaded.release)
    facts = images.facts(loaded.lake, loaded.release, sample_ids)
    rows = [described[sample_id].metadata for sample_id in sample_ids]
    years = exploration_data.ages(rows)
    given = {sample.sample_id: sample.given_split for sample in loaded.samples}
    found = {
        "source": [described[sample_id].source for sample_id in sample_ids],
        "given split": [given[sample_id] for sample_id in sample_ids],
        "colour mode": [str(facts[sample_id]["mode"]) for sample_id in sample_ids],
        "age": [_band(age) for age in years.tolist()],
        "sex": exploration_data.sexes(rows).tolist(),
    }
    taken = {*exploration_data.AGES, *exploration_data.SEXES, *_IDS, *found}
    columns = sorted({key for row in rows for key in row if key.lower() not in taken})
    for column in columns:
        values = [_text(row.get(column)) for row in rows]
        if len(set(values) - {""}) <= subgroups.MOST_VALUES:  # of a free text, nothing is copied
            found[column] = values
    return {name: np.array(values, dtype=np.str_) for name, values in found.items()}


def draw(
    loaded: Loaded,
    model: Model,
    evaluation: Evaluation,
    *,
    looks: str,
    baselines: Sequence[Baseline],
    found: Subgroups,
    trained: Evaluation | None = None,
    compared: Comparison | None = None,
    stressed: Sequence[Stressed] = (),
    points: Sequence[OperatingPoint] = (),
) -> Path:
    """Write the page of an evaluation below the home folder; returns its path.

    trained: the evaluation on train, of which the nearest cases are shown.
    """
    release, card = loaded.release, model.package.card
    rows = evaluation_page.all_shown(evaluation, compared)
    nearest = explanations.nearest(evaluation, rows, trained)
    near = {each.sample_id for some in nearest.values() for each in some}
    wanted = sorted({*evaluation.sample_ids[rows].tolist(), *near})
    undamaged = images.undamaged(loaded.lake, release, wanted)
    pictures = {sample_id: preview.small(raw) for sample_id, raw in undamaged}
    explained = explanations.of_answers(loaded, model, evaluation, rows)
    page = evaluation_page.build(
        evaluation,
        card,
        Told(
            release=release.name,
            is_synthetic=release.is_synthetic,
            looks=looks,
            leak=replace(card, leak=loaded.leak).note(evaluation.split),
            missing=evaluation.missing,
            external=loaded.external,
            card=model_card.path_of(model.package).name,
        ),
        baselines=baselines,
        subgroups=found,
        shown=Shown(
            pictures=pictures,
            maps=explanations.overlays(explained, evaluation, pictures, model.package),
            nearest=nearest,
        ),
        passport=None if loaded.external else release.passport,
        mapped=explained.mapped,
        compared=compared,
        stressed=stressed,
        points=points,
    )
    images_of = f"-{release.content_hash[:12]}" if loaded.external else ""
    place = ReleasePage(
        release=loaded.named_after or release.name,
        problem=loaded.problem.name,
        evaluated=f"{model.version[:16]}-{evaluation.split}{images_of}",
    )
    return render.write(place.path(settings.load().home), page)


def compared_as_dict(compared: Comparison) -> dict[str, Any]:
    """A comparison as plain values."""
    return {
        "model": compared.other.model_version,
        "differences": [asdict(each) for each in compared.differences],
        "gained": compared.model.sample_ids[compared.gained].tolist(),
        "lost": compared.model.sample_ids[compared.lost].tolist(),
        "both_wrong": compared.both_wrong,
    }


def as_dict(found: Subgroups) -> dict[str, Any]:
    """Subgroups as plain values."""
    return {
        "shown": [_plain(each) for each in found.shown],
        "hidden": found.hidden,
    }


def _plain(each: subgroups.Subgroup) -> Mapping[str, Any]:
    return asdict(each) | {"differs": each.differs}


def _band(age: float) -> str:
    return "" if np.isnan(age) else _BANDS[bisect_right(_YEARS, age)]


def _text(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in exploration_data.UNKNOWN else text
