"""What a training starts from: a file of weights, asked for by a person or by a champion."""

from contextlib import suppress
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import torch

from neuro.errors import ConfigError, NeuroError
from neuro.models import backbone as models
from neuro.models import ensemble, weights_hub, weights_packages, weights_store
from neuro.models import load_weights as files
from neuro.models.load_weights import Report
from neuro.models.package import Card
from neuro.models.weights_store import StoredWeights, WeightsCard
from neuro.problems.problem import Problem
from tasks.runtime import settings

_log = getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StartWeights:
    """What a backbone starts from: a local file, the model's pretrained one, or none: at random.

    sha256: what the file's digest must be, "" for any. pretrained: from an installed package of
    weights, or kept by ``neuro weights``; nothing is downloaded.
    """

    file: Path | None = None
    sha256: str = ""
    pretrained: bool = False


def find(model: str, problem: Problem, start: StartWeights) -> Path | None:
    """The file to start from, as a copy in the home; None for a random start.

    What is wrong with the request or the file is refused here, before any work.
    """
    models.check(model)
    file, sha256 = _requested_file(model, start)
    models.check_side(model, problem.preprocess.size_px)
    if file is None:
        return None
    report = _loaded_for_trial(file, model, problem)
    if report is None:
        raise ConfigError(f"nothing was read of weights {file}; check the path")
    if not report.sha256.startswith(sha256):  # it was changed since it was looked at
        files.require(file, sha256)
    return weights_store.keep(folder(), file, report.sha256)


def at_hand(architecture: str) -> bool:
    """Whether ``--pretrained`` would find weights of a network on this machine.

    What cannot be used, such as a package of another version, is not, and a warning says why.
    """
    try:
        return _on_this_machine(architecture)[0] is not None
    except NeuroError as error:
        _log.warning(str(error))
        return False


def pretrained(architecture: str) -> Path:
    """The file that ``--pretrained`` means for one architecture, where it lies on this machine.

    Raises ConfigError naming the command that gets one, where there is none.
    """
    models.check(architecture)
    return _pretrained_of(architecture, "")[0]


def described(file: Path) -> WeightsCard:
    """What is known of a file of weights by its digest: licence and source are "" for unknown."""
    sha256 = files.digest(file)
    return weights_store.described(folder(), sha256) or WeightsCard(sha256=sha256)


def _requested_file(model: str, start: StartWeights) -> tuple[Path | None, str]:
    """The pretrained file or the given one, None for neither; and the digest it must have."""
    if start.pretrained and start.file:
        raise ConfigError("--pretrained looks for weights itself; give that or --weights FILE")
    sha256 = files.beginning(start.sha256) if start.sha256 else ""
    if start.pretrained:
        return _pretrained(model, sha256)
    if sha256:
        if start.file is None:
            raise ConfigError("--weights-sha256 goes with --weights FILE or --pretrained")
        files.require(start.file, sha256)
    return start.file, sha256


def _pretrained(model: str, sha256: str) -> tuple[Path, str]:
    """The file of a model in an installed package, or in the home, and its digest.

    An ensemble of several architectures starts from their files joined. Raises ConfigError naming
    the command that gets one, where there is none.
    """
    architectures = sorted({member.architecture for member in ensemble.members(model)})
    if len(architectures) == 1:
        return _pretrained_of(architectures[0], sha256)
    if sha256:
        raise ConfigError(
            f"--weights-sha256 names one file, and {model} starts from several; leave it out"
        )
    if len({name.partition(".")[0] for name in architectures}) < len(architectures):
        raise ConfigError(
            f"two members of {model} are one network with other weights; give both the same tag"
        )
    found = {each: _pretrained_of(each, "")[0] for each in architectures}
    joined = weights_store.join(folder(), {n: _stored(path) for n, path in found.items()})
    return folder() / joined.card.sha256, joined.card.sha256


def _stored(path: Path) -> StoredWeights:
    return StoredWeights(card=described(path), path=path, place=weights_store.HOME)


def _pretrained_of(model: str, sha256: str) -> tuple[Path, str]:
    file, its_sha256 = _on_this_machine(model, sha256)
    if file is not None:
        return file, its_sha256
    wanted = f"no weights of {model!r}{f' with SHA-256 {sha256}' if sha256 else ''}"
    if weights_packages.of_architecture(model):
        raise ConfigError(f"{wanted} are on this machine; get them by {weights_packages.INSTALL}")
    there = weights_hub.published(model)
    raise ConfigError(
        f"{wanted} are on this machine; where there is a network, `neuro weights fetch {model}` "
        f"gets them from {there.url}; without one, bring that file, and keep it with `neuro "
        f"weights add FILE --model {model}`"
    )


def _on_this_machine(model: str, sha256: str = "") -> tuple[Path | None, str]:
    known, path = weights_packages.of_architecture(model), weights_packages.find(model)
    if known and path and known.sha256.startswith(sha256):
        return path, known.sha256
    entry = weights_store.find(folder(), model, sha256)
    return (entry.path, entry.card.sha256) if entry else (None, "")


def _loaded_for_trial(file: Path, model: str, problem: Problem) -> Report | None:
    """What a network of the model reads of a file, for the problem's frames.

    Raises what ``models.build`` raises where the file does not fit.
    """
    with torch.random.fork_rng(devices=[]):  # the network is thrown away, and draws no chance
        n_classes = len(problem.classes)
        return models.build(model, problem.preprocess, n_classes=n_classes, weights=file).start


def of_champion(card: Card) -> Path | None:
    """The file that a champion started from, to start its successor; None for a random start.

    Where it is not in the home, but in an installed package, it is copied from there.
    """
    sha256 = card.weights_sha256
    if not sha256:
        return None
    path = folder() / sha256
    known = weights_packages.by_digest(sha256)
    if not path.is_file():
        _join_again(card)
    if known and not path.is_file():
        installed = weights_packages.find(known.architecture)
        path = weights_store.keep(folder(), installed, sha256) if installed else path
    if not path.is_file():
        again = f"get it by {weights_packages.INSTALL}, " if known else ""
        raise ConfigError(
            f"the champion started from the weights {sha256}, and {path} is not here; {again}put "
            "that file there, or train by hand with neuro train --weights FILE"
        )
    files.require(path, sha256)
    return path


def _join_again(card: Card) -> None:
    """Join the files of an ensemble's members anew, where they are here; else it is as it was."""
    if ensemble.is_ensemble(card.architecture):
        with suppress(ConfigError):
            _pretrained(card.architecture, "")


def folder() -> Path:
    """Where the files that trainings started from are kept, and what ``neuro weights`` keeps."""
    return settings.load().home / "weights"
