"""Weights of a local file for a backbone: read without running code, reported layer by layer."""

import hashlib
import io
import os
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import nn

from neuro import limits
from neuro.errors import ConfigError, PackageError, TrainingError
from neuro.models import trained_on, weights_packages
from neuro.models.trained_on import TrainedOn

SHORTEST = 8  # of a digest that is given by its beginning
LARGEST_BYTES = 4_000_000_000  # of a file: it is read as a whole
_SHOWN = 5
_OF = "/"  # between an architecture and a tensor's name, in a joined file
_WRAPPERS = ("state_dict", "model", "model_state_dict")  # what scripts put around the tensors
_AROUND, _OURS = ("_orig_mod.", "module.", "model."), "backbone."  # compiled, parallel, Lightning
_MEMBERS = "backbone.members."  # before a number, in a package of an ensemble
_COUNTER = ".num_batches_tracked"  # older files have none, and nothing is computed from it

_OF_TORCH = (b"PK\x03\x04", b"\x80\x02")  # a zip, or a bare pickle as before 1.6

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What became of the tensors of a file. adapted, skipped: how or why, by name."""

    sha256: str
    loaded: int
    adapted: Mapping[str, str]
    skipped: Mapping[str, str]


class Change(NamedTuple):
    """What goes in instead of a file's tensor, and how it was made."""

    tensor: torch.Tensor
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """The tensors of a file, by a backbone's own names. adapted: how some were changed, by name.

    is_ours: whether the file is of a network of neuro's.
    """

    path: Path
    sha256: str
    tensors: Tensors
    is_ours: bool
    adapted: Mapping[str, str] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, Change]) -> "WeightsFile":
        """The same with other tensors."""
        tensors, adapted = dict(self.tensors), dict(self.adapted)
        for name, change in changes.items():
            tensors[name] = change.tensor
            adapted[name] = f"{adapted[name]}, {change.how}" if name in adapted else change.how
        return replace(self, tensors=tensors, adapted=adapted)


def read(path: Path, backbone: nn.Module, architecture: str = "") -> WeightsFile:
    """The tensors of a file for a backbone, by its names.

    path: a safetensors file, or one of torch, which is read as weights only: nothing in it is run.
    architecture: the backbone's name. Raises ConfigError for no such file and for a known one of
    another architecture, TrainingError for one that cannot be read.
    """
    stored, sha256, _ = _read(path)
    stored = _of_architecture(path, stored, architecture.partition(".")[0])
    _refuse_ensemble(path, stored)
    names = backbone.state_dict().keys()
    known = weights_packages.by_digest(sha256)
    if known is not None:
        if not known.is_of(architecture):
            raise ConfigError(
                f"weights {path} are of {known.architecture}, not {architecture or 'this network'}"
                "; train that model, or give the file of this one"
            )
        stored = known.renamed(_uncounted(stored), _uncounted(backbone.state_dict()))
    stored = _bare(stored, names, _AROUND)
    return WeightsFile(
        path=path, sha256=sha256, tensors=_bare(stored, names, (_OURS,)), is_ours=_is_ours(stored)
    )


def trainings(path: Path) -> tuple[TrainedOn, ...]:
    """What the network of a file was trained on: of other programs' files nothing is known to be.

    That of a file of neuro's that does not say is UNKNOWN. Raises what ``read`` raises.
    """
    stored, _, told = _read(path)
    if not told and _is_ours(_bare(stored, (), _AROUND)):
        return (trained_on.UNKNOWN,)
    return told


def fill(backbone: nn.Module, file: WeightsFile, classifier: Collection[str]) -> Report:
    """Fill a backbone, all of it or an error.

    classifier: prefixes that are left out. Raises TrainingError for a file that does not fit.
    """
    wanted = backbone.state_dict()
    skipped = {
        name: "the classifier of the file's own classes"
        for name in sorted(set(file.tensors) - set(wanted))
        if any(name.startswith(f"{prefix}.") for prefix in classifier)
    }
    counters = {name: count for name, count in wanted.items() if name.endswith(_COUNTER)}
    stored = counters | file.tensors
    _require_fit(file.path, stored, wanted, skipped)
    backbone.load_state_dict({name: stored[name] for name in wanted})
    return Report(sha256=file.sha256, loaded=len(wanted), adapted=file.adapted, skipped=skipped)


def beginning(sha256: str) -> str:
    """A digest, or at least 8 characters of its beginning, in small letters; else ConfigError."""
    expected = sha256.lower()
    if not SHORTEST <= len(expected) <= 64 or not set(expected) <= set("0123456789abcdef"):
        raise ConfigError(f"a SHA-256 is {SHORTEST} to 64 hexadecimal characters, got {sha256!r}")
    return expected


def require(path: Path, sha256: str) -> None:
    """Raises ConfigError unless a file has this SHA-256, given by at least 8 of its characters."""
    expected = beginning(sha256)
    actual = digest(path) if path.is_file() else "of no file"
    if not actual.startswith(expected):
        raise ConfigError(
            f"weights {path} have SHA-256 {actual}, expected {sha256}; fetch the file again, or "
            "give the digest of this one if you trust it"
        )


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def join(files: Mapping[str, tuple[Path, Collection[str]]], joined: Path) -> None:
    """Write the tensors of files for several architectures into one, and what they were trained on.

    files: by architecture, without a tag; each with the names of its backbone's tensors. Raises
    what ``read`` raises.
    """
    tensors, told = dict[str, torch.Tensor](), list[TrainedOn]()
    for architecture, (path, names) in files.items():
        stored, sha256, _ = _read(path)
        known = weights_packages.by_digest(sha256)
        if known is not None:
            counted = [name for name in names if not name.endswith(_COUNTER)]
            stored = known.renamed(_uncounted(stored), counted)
        tensors |= {f"{architecture}{_OF}{name}": each for name, each in stored.items()}
        told += trainings(path)
    save_file({k: v.contiguous() for k, v in tensors.items()} | trained_on.as_tensors(told), joined)


def _of_architecture(path: Path, stored: Tensors, architecture: str) -> Tensors:
    """The tensors that a joined file holds for an architecture; of any other file all."""
    held = {name.partition(_OF)[0] for name in stored if _OF in name}
    if not held:
        return stored
    if architecture not in held:
        raise ConfigError(
            f"weights {path} are of {', '.join(sorted(held))}, none of them {architecture}; give "
            "the file of this model"
        )
    own = f"{architecture}{_OF}"
    return {n.removeprefix(own): tensor for n, tensor in stored.items() if n.startswith(own)}


def is_joined(path: Path) -> bool:
    """Whether a file holds weights of several architectures; raises what ``read`` raises."""
    return any(_OF in name for name in _read(path)[0])


def _refuse_ensemble(path: Path, stored: Tensors) -> None:
    if any(name.startswith(_MEMBERS) for name in stored):
        raise ConfigError(
            f"weights {path} are of a package of an ensemble, from which no training starts; give "
            "the file that its members started from, or that of a package of one network"
        )


def _require_fit(path: Path, stored: Tensors, wanted: Tensors, skipped: Collection[str]) -> None:
    other = {
        f"{name} {tuple(stored[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in set(stored) & set(wanted)
        if stored[name].shape != wanted[name].shape
    }
    faults = {
        "missing": set(wanted) - set(stored),
        "unknown": set(stored) - set(wanted) - set(skipped),
        "of another shape": other,
    }
    descriptions = [
        f"{len(names)} {kind}: {', '.join(sorted(names)[:_SHOWN])}"
        for kind, names in faults.items()
        if names
    ]
    if descriptions:
        raise TrainingError(
            f"weights {path} do not fit the model ({'; '.join(descriptions)}); give the file of "
            "this very architecture and number of channels, or none for a random start"
        )


_DAMAGED = (  # whatever torch meets in a file that is none of its own
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError),
    *(AttributeError, OSError),
)


def _is_ours(stored: Collection[str]) -> bool:
    heads = {"head.weight", "head.bias"}
    return heads <= set(stored) and all(name in heads or name.startswith(_OURS) for name in stored)


def _read(path: Path) -> tuple[Tensors, str, tuple[TrainedOn, ...]]:
    raw = limits.bytes_of(path, f"weights {path}", _within_limit)
    is_torch = raw.startswith(_OF_TORCH)
    content = _unwrapped(_of_torch(path, raw) if is_torch else _safetensors(path, raw))
    tensors = {str(name): t for name, t in content.items() if isinstance(t, torch.Tensor)}
    try:
        tensors, told = trained_on.split(tensors)
    except PackageError as error:
        raise TrainingError(f"weights {path}: {error}") from error
    if not tensors:
        raise TrainingError(f"weights {path} hold no tensor; give the state_dict of a network")
    return tensors, hashlib.sha256(raw).hexdigest(), told


def _within_limit(path: Path) -> bytes:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_BYTES:
            raise ConfigError(
                f"weights {path} have {size:,} bytes, at most {LARGEST_BYTES:,} are read; give the "
                "state_dict of the network alone"
            )
        return file.read(size)


def _uncounted(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTER)}


def _unwrapped(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What lies inside ``{"state_dict": {...}}`` and the like, however deep."""
    for name in _WRAPPERS:
        inner = content.get(name)
        if isinstance(inner, Mapping):
            return _unwrapped(inner)
    return content


def _bare(stored: Tensors, wanted: Collection[str], prefixes: Collection[str]) -> Tensors:
    """The tensors by the network's own names, without those of what was around it."""
    around = [each for each in prefixes if not any(name.startswith(each) for name in wanted)]
    for prefix in 2 * around:  # they lie in each other in any order
        stored = {name.removeprefix(prefix): tensor for name, tensor in stored.items()}
    return stored


def _safetensors(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        return dict(load(raw))
    except SafetensorError as error:
        raise TrainingError(
            f"weights {path} are neither safetensors nor a file of torch: {error}"
        ) from error


def _of_torch(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        raise TrainingError(
            f"weights {path} hold more than weights, or are damaged ({str(error)[:120]}); save "
            "them with torch.save(network.state_dict(), FILE) or as safetensors"
        ) from error
    if not isinstance(content, Mapping):
        raise TrainingError(f"weights {path} are a {type(content).__name__}, expected a state_dict")
    return dict(content)
