"""The step of an exploration: read a release, and write its page."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.images import preview
from neuro.lake import features, images, sample_columns
from neuro.reports import age_and_sex, exploration, mean_images, pca_map, render
from neuro.reports.exploration import N_POINTS, NO_CLASS, SEED, Exploration
from neuro.reports.pca_map import Map
from tasks.load.release_data import Loaded
from tasks.runtime import settings
from tasks.runtime.steps import step

N_FITTED = 20_000  # training images that a map's axes are found from


def page_path(problem: str, release: str) -> Path:
    """Where the page of a release lies. An erasure removes what is named after a release."""
    return settings.load().home / "reports" / "explore" / problem / f"{release}.html"


def command(page: Path) -> str:
    """What a person types to have a page of a release drawn anew."""
    if page.parent.name == "passport":
        return "neuro passport"
    return f"neuro explore --problem {page.parent.name}"


@step(name="explore")
def draw(loaded: Loaded, out: Path | None = None) -> Path:
    """Write the page of a release, by default below the home folder; returns its path."""
    page = exploration.build(_explored(loaded))
    where = out or page_path(loaded.problem.name, loaded.release.name)
    return render.write(where, page)


def _explored(loaded: Loaded) -> Exploration:
    lake, release, samples = loaded.lake, loaded.release, loaded.samples
    ids = loaded.frames.sample_ids
    kinds = _kinds(loaded)
    facts = images.facts(lake, release)
    held = [facts[sample_id] for sample_id in ids.tolist()]
    told = sample_columns.described(lake, release)
    came = [told[sample_id] for sample_id in ids.tolist()]
    metadata = [one.metadata for one in came]
    rows = {name: np.flatnonzero(kinds == name) for name in exploration.names(kinds)}
    drawn, lacking = _maps(loaded)
    return Exploration(
        release=release.name,
        problem=loaded.problem.name,
        is_synthetic=release.is_synthetic,
        classes=kinds,
        splits=loaded.frames.splits,
        given_splits=np.array([sample.given_split for sample in samples], dtype=np.str_),
        sources=np.array([one.source for one in came], dtype=np.str_),
        groups=loaded.frames.groups,
        modes=np.array([row["mode"] for row in held], dtype=np.str_),
        sizes=np.array([[row["width"], row["height"]] for row in held], np.float64).reshape(-1, 2),
        ages=age_and_sex.ages(metadata),
        sexes=age_and_sex.sexes(metadata),
        averages=mean_images.by_class(loaded.frames.pixels, rows),
        examples=_examples(loaded, kinds),
        maps=drawn,
        missing_maps=lacking,
    )


def _kinds(loaded: Loaded) -> NDArray[np.str_]:
    names = np.array([*loaded.problem.classes, NO_CLASS], dtype=np.str_)  # the last for -1
    kinds: NDArray[np.str_] = names[loaded.frames.targets]
    return kinds


def _examples(loaded: Loaded, kinds: NDArray[np.str_]) -> dict[str, list[tuple[str, bytes]]]:
    wanted = exploration.examples(kinds, loaded.frames.sample_ids)
    every = [sample_id for chosen in wanted.values() for sample_id in chosen]
    found = dict(images.undamaged(loaded.lake, loaded.release, every))
    small = {sample_id: preview.small(stored) for sample_id, stored in found.items()}
    return {
        name: [(sample_id, small[sample_id]) for sample_id in chosen if sample_id in small]
        for name, chosen in wanted.items()
    }


def _maps(loaded: Loaded) -> tuple[list[Map], list[str]]:
    """The maps of this release, and what stands in the way of the others."""
    ids, in_train = loaded.frames.sample_ids, loaded.frames.splits == "train"
    fitted = pca_map.some(np.flatnonzero(in_train), N_FITTED, SEED)
    rows = np.union1d(fitted, pca_map.some(np.arange(len(ids)), N_POINTS, SEED))
    small = images.thumbnails(loaded.lake, loaded.release, ids[rows].tolist())
    is_fitted, found, lacking = np.isin(rows, fitted), [], []
    thumbs = pca_map.draw("thumbnails of 32 pixels", small.astype(np.float32), rows, is_fitted)
    if thumbs is None:
        lacking.append("Thumbnails: the training split has fewer than three images that differ.")
    name = f"embedding_{loaded.problem.name}"
    vectors = _embeddings(loaded, name, ids[rows].tolist())
    if vectors is None:
        lacking.append(
            f"Embeddings of the champion: `neuro featurize --set embedding --problem "
            f"{loaded.problem.name}` computes them, once a model is there."
        )
    else:
        found.append(pca_map.draw(f"what the model sees ({name})", vectors, rows, is_fitted))
    whole = [each for each in (thumbs, *found) if each is not None]
    return [pca_map.thinned(each, N_POINTS, SEED) for each in whole], lacking


def _embeddings(loaded: Loaded, name: str, wanted: list[str]) -> NDArray[np.float32] | None:
    """Vectors of the encoder that made most of the set; None where it lacks one of the wanted."""
    for encoder_hash, _ in features.encoders(loaded.lake, name).most_common():
        if not features.missing(loaded.lake, name, encoder_hash, wanted):
            read = features.read(loaded.lake, name, encoder_hash, wanted)
            return read.astype(np.float32)
    return None
