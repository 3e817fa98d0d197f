"""Weights of a local file for a backbone: read without running code, and told layer by layer."""

import hashlib
import pickle
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from neuro.errors import ConfigError, TrainingError

SHORTEST = 8  # of a digest that is given by its beginning
_SHOWN = 5
_WRAPPERS = ("state_dict", "model", "model_state_dict")  # what scripts put around the tensors
_AROUND, _OURS = ("_orig_mod.", "module.", "model."), "backbone."  # compiled, parallel, Lightning
_COUNTER = ".num_batches_tracked"  # older files have none, and nothing is computed from it

Tensors = dict[str, torch.Tensor]
Adapt = Callable[[Tensors, bool], dict[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What became of a file's tensors. skipped: by name, with the reason; adapted: likewise.

    sha256: of the file.
    """

    sha256: str
    loaded: int
    adapted: Mapping[str, str]
    skipped: Mapping[str, str]


def fill(
    backbone: nn.Module, path: Path, *, classifier: Collection[str], adapt: Adapt | None = None
) -> Report:
    """Fill a backbone, all of it or an error.

    path: a safetensors file, or one of torch, which is read as weights only: nothing in it is run.
    classifier: prefixes that are left out. adapt: changes the tensors in place to what goes in here
    and says which and how, by name; it is told whether the file is of a network of neuro's.
    Raises ConfigError for no such file, TrainingError for one that cannot be read or does not fit.
    """
    stored, sha256 = _read(path)
    wanted = backbone.state_dict()
    stored = _bare(stored, wanted, _AROUND)
    heads = {"head.weight", "head.bias"}
    is_ours = all(n in heads or n.startswith(_OURS) for n in stored) and heads <= set(stored)
    stored = _bare(stored, wanted, (_OURS,))
    skipped = {
        name: "the classifier of the file's own classes"
        for name in set(stored) - set(wanted)
        if any(name.startswith(f"{prefix}.") for prefix in classifier)
    }
    adapted = adapt(stored, is_ours) if adapt else {}
    counters = {name: count for name, count in wanted.items() if name.endswith(_COUNTER)}
    stored = counters | stored
    _require_fit(path, stored, wanted, skipped)
    backbone.load_state_dict({name: stored[name] for name in wanted})
    return Report(
        sha256=sha256, loaded=len(wanted), adapted=adapted, skipped=dict(sorted(skipped.items()))
    )


def require(path: Path, sha256: str) -> None:
    """Raises ConfigError unless a file has this SHA-256, given by at least 8 of its characters."""
    asked = sha256.lower()
    if len(asked) < SHORTEST or not set(asked) <= set("0123456789abcdef"):
        raise ConfigError(f"a SHA-256 is {SHORTEST} to 64 hexadecimal characters, got {sha256!r}")
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "of no file"
    if not found.startswith(asked):
        raise ConfigError(
            f"weights {path} have SHA-256 {found}, expected {sha256}; fetch the file again, or "
            "give the digest of this one if you trust it"
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
    found = [
        f"{len(names)} {kind}: {', '.join(sorted(names)[:_SHOWN])}"
        for kind, names in faults.items()
        if names
    ]
    if found:
        raise TrainingError(
            f"weights {path} do not fit the model ({'; '.join(found)}); give the file of this "
            "very architecture and number of channels, or none for a random start"
        )


def _read(path: Path) -> tuple[Tensors, str]:
    if not path.is_file():
        raise ConfigError(f"weights {path} is no file; give a local .safetensors or .pth file")
    raw = path.read_bytes()
    held = _safe(path, raw) if not _is_torch(raw) else _unpickled(path)
    while wrapped := [held[name] for name in _WRAPPERS if isinstance(held.get(name), Mapping)]:
        held = dict(wrapped[0])
    tensors = {str(name): value for name, value in held.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise TrainingError(f"weights {path} hold no tensor; give the state_dict of a network")
    return tensors, hashlib.sha256(raw).hexdigest()


def _bare(stored: Tensors, wanted: Collection[str], prefixes: Collection[str]) -> Tensors:
    """The tensors by the network's own names, without those of what was around it."""
    around = [each for each in prefixes if not any(name.startswith(each) for name in wanted)]
    for prefix in 2 * around:  # they lie in each other in any order
        stored = {name.removeprefix(prefix): tensor for name, tensor in stored.items()}
    return stored


def _is_torch(raw: bytes) -> bool:
    """Whether these are torch's own: a zip, or a bare pickle as before 1.6."""
    return raw.startswith((b"PK\x03\x04", b"\x80\x02"))


def _safe(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        return dict(load(raw))
    except SafetensorError as error:
        raise TrainingError(
            f"weights {path} are neither safetensors nor a file of torch: {error}"
        ) from error


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise TrainingError(
            f"weights {path} hold more than weights, or are damaged ({str(error)[:120]}); save "
            "them with torch.save(network.state_dict(), FILE) or as safetensors"
        ) from error
    if not isinstance(held, Mapping):
        raise TrainingError(f"weights {path} are a {type(held).__name__}, expected a state_dict")
    return dict(held)
