"""What an exploration shows, read from a release: its columns, mean images, examples and maps."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.dataset.frames import Frames
from neuro.images import preview
from neuro.lake import features, images, sample_metadata
from neuro.lake.lake import Lake
from neuro.lake.releases import Release
from neuro.problems.problem import Problem
from neuro.reports import exploration, given_splits, mean_images, pca_map
from neuro.reports.exploration import N_POINTS, NO_CLASS, SEED, Exploration
from neuro.reports.pca_map import Map
from neuro.sample import Sample

N_FITTED = 20_000  # training images that a map's axes are found from
AGES = ("age", "age_years", "patient_age", "patientage", "patient_age_years")
SEXES = ("sex", "gender", "patient_sex", "patientsex")
_YEARS = re.compile(r"0*(\d{1,3}(?:\.\d+)?)\s*[yY]?")
_WORDS = {"f": "female", "w": "female", "m": "male", "o": "other", "woman": "female", "man": "male"}
UNKNOWN = ("", "unknown", "nan", "none", "n/a", "u")


def read(
    lake: Lake, release: Release, problem: Problem, samples: Sequence[Sample], frames: Frames
) -> Exploration:
    """Everything that the page shows of the release. samples: in the row order of its frames."""
    sample_ids = frames.sample_ids.tolist()
    names = np.array([*problem.classes, NO_CLASS], dtype=np.str_)
    classes: NDArray[np.str_] = names[frames.targets]  # -1, no target, is the last: NO_CLASS
    facts = images.facts(lake, release)
    files = [facts[sample_id] for sample_id in sample_ids]
    described = sample_metadata.described(lake, release)
    metadata = [described[sample_id].metadata for sample_id in sample_ids]
    sources = [described[sample_id].source for sample_id in sample_ids]
    rows_of_class = {name: np.flatnonzero(classes == name) for name in exploration.names(classes)}
    sizes = [[file["width"], file["height"]] for file in files]
    maps, missing_maps = _maps(lake, release, problem.name, frames)
    given = np.array([sample.given_split for sample in samples], dtype=np.str_)
    thumbnails = images.thumbnails(lake, release, sample_ids)
    return Exploration(
        release=release.name,
        problem=problem.name,
        is_synthetic=release.is_synthetic,
        classes=classes,
        splits=frames.splits,
        given_splits=given,
        given_differences=given_splits.compare(
            classes, given, frames.groups, frames.pixels, thumbnails
        ),
        sources=np.array(sources, dtype=np.str_),
        groups=frames.groups,
        modes=np.array([file["mode"] for file in files], dtype=np.str_),
        sizes=np.array(sizes, np.float64).reshape(-1, 2),
        ages=ages(metadata),
        sexes=sexes(metadata),
        averages=mean_images.by_class(frames.pixels, rows_of_class),
        examples=_examples(lake, release, exploration.examples(classes, frames.sample_ids)),
        maps=maps,
        missing_maps=missing_maps,
    )


def ages(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Years of each sample, (n,), NaN where none or no number is given. An age of 0 stays one."""
    matches = [_YEARS.fullmatch(_value(row, AGES)) for row in rows]
    return np.array([float(match[1]) if match else np.nan for match in matches], dtype=np.float64)


def sexes(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.str_]:
    """Sex of each sample in lower case, (n,), "" where none is given or it is unknown."""
    words = [_value(row, SEXES).lower() for row in rows]
    known = ["" if word in UNKNOWN else _WORDS.get(word, word) for word in words]
    return np.array(known, dtype=np.str_)


def _examples(
    lake: Lake, release: Release, wanted: Mapping[str, Sequence[str]]
) -> dict[str, list[tuple[str, bytes]]]:
    """Small pictures of the wanted samples of each class; a damaged one is left out."""
    sample_ids = [sample_id for chosen in wanted.values() for sample_id in chosen]
    stored = images.undamaged(lake, release, sample_ids)
    pictures = {sample_id: preview.small(raw) for sample_id, raw in stored}
    return {
        name: [(sample_id, pictures[sample_id]) for sample_id in chosen if sample_id in pictures]
        for name, chosen in wanted.items()
    }


def _maps(
    lake: Lake, release: Release, problem: str, frames: Frames
) -> tuple[list[Map], list[str]]:
    """The maps of this release, and what stands in the way of the others."""
    sample_ids = frames.sample_ids
    fitted = pca_map.some(np.flatnonzero(frames.splits == "train"), N_FITTED, SEED)
    rows = np.union1d(fitted, pca_map.some(np.arange(len(sample_ids)), N_POINTS, SEED))
    is_fitted = np.isin(rows, fitted)
    wanted = sample_ids[rows].tolist()
    maps, missing = [], []
    thumbnails = images.thumbnails(lake, release, wanted).astype(np.float32)
    drawn = pca_map.draw("thumbnails of 32 pixels", thumbnails, rows, is_fitted)
    if drawn is None:
        missing.append("Thumbnails: the training split has fewer than three images that differ.")
    else:
        maps.append(drawn)
    name = f"embedding_{problem}"
    embeddings = _embeddings(lake, name, wanted)
    if embeddings is None:
        missing.append(
            f"Embeddings of the champion: `neuro featurize --set embedding --problem {problem}` "
            "computes them, once a model is there."
        )
    else:
        drawn = pca_map.draw(f"what the model sees ({name})", embeddings, rows, is_fitted)
        if drawn is not None:
            maps.append(drawn)
    return [pca_map.thinned(each, N_POINTS, SEED) for each in maps], missing


def _embeddings(lake: Lake, name: str, wanted: list[str]) -> NDArray[np.float32] | None:
    """Vectors of the encoder that made most of the set; None where it lacks one of the wanted."""
    for encoder_hash, _ in features.encoders(lake, name).most_common():
        if not features.missing(lake, name, encoder_hash, wanted):
            return features.read(lake, name, encoder_hash, wanted).astype(np.float32)
    return None


def _value(row: Mapping[str, Any], names: Sequence[str]) -> str:
    lower = {key.lower(): value for key, value in row.items()}
    given = (lower[name] for name in names if lower.get(name) not in (None, ""))
    return str(next(given, "")).strip()
