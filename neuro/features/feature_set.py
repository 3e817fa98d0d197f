"""Which encoder the name of a feature set means: the one place where they are put together."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuro.errors import ConfigError, UnknownNameError
from neuro.features import descriptors, embedding
from neuro.features.embedding import PRECISIONS, Backbone
from neuro.features.encoders import (
    EMBEDDING,
    PIXELS,
    THUMB,
    Encoder,
    Fitting,
    OfPackage,
    Thumb,
)
from neuro.lake import features
from neuro.lake.lake import Lake
from neuro.models.package import Package
from neuro.problems.problem import Problem
from neuro.sample import Sample
from neuro.training import config

DESCRIPTORS = descriptors.Descriptors().name
CHAMPION = "champion"
_REGISTERED = (CHAMPION, "challenger")
_OPTIONS = "--weights, --pretrained and --precision"

OpenPackage = Callable[[str], Package]  # of a folder, or of a name or number in the registry
FindWeights = Callable[[str], Path]  # the file of pretrained weights of an architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a person asks for. model, weights, precision: of an embedding; "" for the default.

    model: a timm name, ``champion``, ``challenger``, a version number or a package folder.
    pretrained: the weights that this machine has of an architecture, instead of a file.
    """

    features: str
    model: str = ""
    weights: str = ""
    precision: str = ""
    pretrained: bool = False


def full_name(problem: Problem, choice: Choice) -> str:
    """Name of the set that is asked for; ``embedding`` alone is the model's."""
    if choice.features != EMBEDDING:
        return choice.features
    if not choice.model or _is_package(choice.model):
        return f"{EMBEDDING}_{problem.name}"
    return f"{EMBEDDING}_{choice.model.partition('.')[0]}"


def column_names(features: str) -> tuple[str, ...]:
    """The name of each number of a set's vectors, () where they have none."""
    return descriptors.NAMES if features == DESCRIPTORS else ()


def encoder_of(
    problem: Problem,
    samples: Sequence[Sample],
    choice: Choice,
    open_package: OpenPackage,
    find_weights: FindWeights,
) -> Encoder | Fitting:
    """The encoder of a choice, or what its principal components have to be fitted on first.

    samples: of the release, whose train split that is. Raises UnknownNameError with near misses,
    ConfigError for options that do not go together, and what opening a package, finding weights or
    building a backbone raises.
    """
    name, of_problem = choice.features, f"{EMBEDDING}_{problem.name}"
    if name not in (EMBEDDING, of_problem) and choice.model:
        raise ConfigError(f"--model goes with --set {EMBEDDING}, not with --set {name}")
    options = choice.weights or choice.precision or choice.pretrained
    if not name.startswith(EMBEDDING) and options:
        raise ConfigError(f"{_OPTIONS} go with an embedding, not with --set {name}")
    if name == DESCRIPTORS:
        return descriptors.Descriptors()
    if name == THUMB:
        return Thumb()
    if name == PIXELS:
        train = tuple(sorted(s.sample_id for s in samples if s.split == "train"))
        return Fitting(spec=problem.preprocess, train=train)
    if name in (EMBEDDING, of_problem):
        model = choice.model or CHAMPION
    else:
        prefix, _, model = name.partition("_")
        if prefix != EMBEDDING or not model:
            raise UnknownNameError(_unknown(problem, name))
    if not _is_package(model):
        return _of_architecture(choice, model, find_weights)
    if options:
        raise ConfigError(f"{_OPTIONS} go with an architecture, not with {model}")
    package = open_package(model)
    return OfPackage(
        name=of_problem,
        folder=package.folder,
        package_digest=package.digest,
        preprocess_hash=package.card.preprocess.sha256,
    )


def settled(
    lake: Lake,
    problem: Problem,
    choice: Choice,
    open_package: OpenPackage,
    find_weights: FindWeights,
) -> Choice:
    """The choice with the precision that a set has been made in, where none was asked for."""
    if choice.precision or not choice.features.startswith(EMBEDDING):
        return choice
    encoder = encoder_of(problem, (), choice, open_package, find_weights)
    if not isinstance(encoder, Backbone):
        return choice
    made = {one.encoder_hash for one in features.find(lake, encoder.name)}
    if encoder.digest in made:
        return choice
    for precision in PRECISIONS:
        if replace(encoder, precision=precision).digest in made:
            return replace(choice, precision=precision)
    return choice


def _of_architecture(choice: Choice, architecture: str, find_weights: FindWeights) -> Backbone:
    precision = next((known for known in PRECISIONS if known == choice.precision), None)
    if choice.precision and precision is None:
        raise ConfigError(f"precision must be one of {PRECISIONS}, got {choice.precision!r}")
    if choice.pretrained and choice.weights:
        raise ConfigError("--pretrained looks for weights itself; give that or --weights FILE")
    weights = Path(choice.weights).resolve() if choice.weights else None
    if choice.pretrained:
        weights = find_weights(architecture)
    return embedding.backbone(architecture, weights, precision)


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
