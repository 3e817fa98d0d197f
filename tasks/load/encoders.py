"""Which encoder a feature set's name means: the one place where they are put together."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neuro.errors import ConfigError, UnknownNameError
from neuro.features import descriptors, embedding, encoders, pca
from neuro.features.embedding import PRECISIONS, Backbone
from neuro.features.encoders import (
    EMBEDDING,
    PIXELS,
    THUMB,
    Encoder,
    Fitting,
    OfPackage,
    Pixels,
    Thumb,
)
from neuro.lake import features
from neuro.lake.lake import Lake
from neuro.problems.problem import Problem
from neuro.reports import render
from neuro.sample import Sample
from neuro.training import config
from tasks.load import models
from tasks.load.release_data import Loaded
from tasks.record import artifacts
from tasks.runtime import settings
from tasks.runtime.steps import step

DESCRIPTORS = descriptors.Descriptors().name
CHAMPION = "champion"
_REGISTERED = (CHAMPION, "challenger")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a person asks for. model, weights, precision: of an embedding; "" for the default.

    model: a timm name, ``champion``, ``challenger``, a version number or a package folder.
    """

    features: str
    model: str = ""
    weights: str = ""
    precision: str = ""


def full_name(problem: Problem, choice: Choice) -> str:
    """Name of the set that is asked for; ``embedding`` alone is the model's."""
    if choice.features != EMBEDDING:
        return choice.features
    if not choice.model or _is_package(choice.model):
        return f"{EMBEDDING}_{problem.name}"
    return f"{EMBEDDING}_{choice.model.partition('.')[0]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """Enough of an encoder to find its vectors. names: of each number, () where they have none."""

    name: str
    digest: str
    preprocess_hash: str
    names: tuple[str, ...] = ()


def chosen(problem: Problem, choice: Choice) -> Encoder | None:
    """The encoder, None for principal components, which are fitted on a release first.

    Raises UnknownNameError with near misses, and what loading a model raises.
    """
    name = choice.features
    if name not in (EMBEDDING, f"{EMBEDDING}_{problem.name}") and choice.model:
        raise ConfigError(f"--model goes with --set {EMBEDDING}, not with --set {name}")
    if not name.startswith(EMBEDDING) and (choice.weights or choice.precision):
        raise ConfigError(f"--weights and --precision go with an embedding, not with --set {name}")
    if name in (DESCRIPTORS, THUMB, PIXELS):
        simple: dict[str, Encoder | None] = {
            DESCRIPTORS: descriptors.Descriptors(),
            THUMB: Thumb(),
            PIXELS: None,
        }
        return simple[name]
    if name in (EMBEDDING, f"{EMBEDDING}_{problem.name}"):
        return _of_model(problem, choice, choice.model or CHAMPION)
    prefix, _, architecture = name.partition("_")
    if prefix == EMBEDDING and architecture:
        return _of_model(problem, choice, architecture)
    raise UnknownNameError(_unknown(problem, name))


def settled(lake: Lake, problem: Problem, choice: Choice) -> Choice:
    """The choice with the precision that a set has been made in, where none was asked for."""
    encoder = chosen(problem, choice) if choice.features.startswith(EMBEDDING) else None
    if not isinstance(encoder, Backbone) or choice.precision:
        return choice
    made = {one.encoder_hash for one in features.find(lake, encoder.name)}
    for precision in PRECISIONS:
        if encoder.digest not in made and replace(encoder, precision=precision).digest in made:
            return replace(choice, precision=precision)
    return choice


def named(problem: Problem, samples: Sequence[Sample], choice: Choice) -> Named:
    """What names the vectors of a choice on a release with these samples; nothing is fitted."""
    encoder = chosen(problem, choice)
    if encoder is None:
        fitting = _fitting(problem, samples)
        digest = fitting.digest
        return Named(name=PIXELS, digest=digest, preprocess_hash=problem.preprocess.sha256)
    names = descriptors.NAMES if encoder.name == DESCRIPTORS else ()
    return Named(
        name=encoder.name,
        digest=encoder.digest,
        preprocess_hash=encoder.preprocess_hash,
        names=names,
    )


@step(name="fit principal components")
def fitted(loaded: Loaded) -> Pixels:
    """Principal components of the release's train split, fitted once for each content of it.

    The fit lies beside the frames of the release, and goes with them when an erasure supersedes it.
    """
    fitting = _fitting(loaded.problem, loaded.samples)
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
    from neuro.reports import charts, explained_variance  # matplotlib: half a second

    release = loaded.release
    figure = explained_variance.draw(encoder.fit.explained, release.name, release.is_synthetic)
    path = settings.load().home / "reports" / f"{PIXELS}-{release.name}.png"
    render.write(path, charts.png(figure))
    artifacts.link("pixels-pca", path.resolve().as_uri(), "Variance that the components explain")
    return path


def _fitting(problem: Problem, samples: Sequence[Sample]) -> Fitting:
    train = tuple(sorted(s.sample_id for s in samples if s.split == "train"))
    return Fitting(spec=problem.preprocess, train=train)


def _of_model(problem: Problem, choice: Choice, name: str) -> Encoder:
    if _is_package(name):
        if choice.weights or choice.precision:
            raise ConfigError(f"--weights and --precision go with an architecture, not with {name}")
        found = models.load(problem, name).package
        return OfPackage(
            name=f"{EMBEDDING}_{problem.name}",
            folder=found.folder,
            package_digest=found.digest,
            preprocess_hash=found.card.preprocess.sha256,
        )
    precision = next((known for known in PRECISIONS if known == choice.precision), None)
    if choice.precision and precision is None:
        raise ConfigError(f"precision must be one of {PRECISIONS}, got {choice.precision!r}")
    weights = Path(choice.weights).resolve() if choice.weights else None
    return embedding.backbone(name, weights, precision)


def _is_package(name: str) -> bool:
    return name in _REGISTERED or name.isdigit() or Path(name).is_dir()


def _unknown(problem: Problem, name: str) -> str:
    known = [DESCRIPTORS, THUMB, PIXELS, EMBEDDING, f"{EMBEDDING}_{problem.name}"]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"no feature set {name!r}: {hint}There are {', '.join(known)}, and "
        f"{EMBEDDING}_NAME for {config.DEFAULT_MODEL}, cnn and any timm name"
    )
