"""The encoders of feature sets, with the packages of the registry and fits from the cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuro.features import encoders, feature_set, pca
from neuro.features.embedding import Backbone
from neuro.features.encoders import PIXELS, Encoder, Fitting, Pixels
from neuro.features.feature_set import Choice, OpenPackage
from neuro.lake.lake import Lake
from neuro.models.package import Package
from neuro.problems.problem import Problem
from neuro.reports import render
from neuro.sample import Sample
from tasks.load import models, start_weights
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

RANDOM = "random weights, seeded, never trained"
NOT_STATED = "not stated"


def chosen(problem: Problem, samples: Sequence[Sample], choice: Choice) -> Encoder | Fitting:
    """See ``feature_set.encoder_of``."""
    return feature_set.encoder_of(
        problem, samples, choice, _packages(problem), start_weights.pretrained
    )


def settled(lake: Lake, problem: Problem, choice: Choice) -> Choice:
    """See ``feature_set.settled``."""
    return feature_set.settled(lake, problem, choice, _packages(problem), start_weights.pretrained)


def weights_of(encoder: Encoder | Fitting) -> dict[str, Any]:
    """Whose weights an architecture has, for people: {} for any other encoder."""
    if not isinstance(encoder, Backbone):
        return {}
    if encoder.weights is None:
        return {"weights": RANDOM}
    card = start_weights.described(encoder.weights)
    return {
        "weights": str(encoder.weights),
        "weights_sha256": card.sha256,
        "weights_licence": card.licence or NOT_STATED,
        "weights_source": card.source or NOT_STATED,
    }


def _packages(problem: Problem) -> OpenPackage:
    def open_package(name: str) -> Package:
        return models.load(problem, name).package

    return open_package


@step(name="fit principal components")
def fitted(loaded: Loaded, fitting: Fitting) -> Pixels:
    """Principal components of the release's train split, fitted once for each content of it.

    The fit lies beside the frames of the release, and goes with them when an erasure supersedes it.
    """
    cache = settings.load().home / "frames"
    folder = cache / f"{loaded.release.content_hash[:16]}-{fitting.digest[:16]}"
    fit = pca.load(folder / "fit.safetensors")
    if fit is None:
        among = np.isin(loaded.frames.sample_ids, fitting.train)
        fit = encoders.fit(loaded.frames.pixels, np.flatnonzero(among), fitting)
        pca.save(fit, folder / "fit.safetensors")
    return Pixels(spec=fitting.spec, fit=fit, digest=fitting.digest)


def picture(loaded: Loaded, encoder: Pixels) -> Path:
    """Draw how much of the variance the components explain: a PNG file, and a link to it."""
    from neuro.reports import charts  # matplotlib: half a second

    release = loaded.release
    figure = charts.explained_variance(
        encoder.fit.explained, release.name, is_synthetic=release.is_synthetic
    )
    path = settings.load().home / "reports" / f"{PIXELS}-{release.name}.png"
    render.write(path, charts.png(figure))
    artifacts.link("pixels-pca", path.resolve().as_uri(), "Variance that the components explain")
    return path
