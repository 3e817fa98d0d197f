"""Salted hashes of the images and groups a network was trained on; they travel with its weights.

Whoever holds an image can ask whether it is among them; the hashes list nothing. A network that
started from another one's weights keeps the hashes of that one, too.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neuro.errors import PackageError

WIDTH = 16  # bytes of a salt, and of a hash
_NAME = "trained_on."  # of the tensors in a file of weights, numbered from 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedOn:
    """What one training saw. salt: names the training, 16 bytes. hashes: none where nobody knows.

    ``UNKNOWN`` stands for the training of weights that do not say what it saw.
    """

    salt: bytes
    hashes: frozenset[bytes]

    def holds(self, digests: Sequence[Collection[str]]) -> NDArray[np.bool_]:
        """Whether any digest of each sample is among them, (n,) bool."""
        found = [any(hashed(name, self.salt) in self.hashes for name in each) for each in digests]
        return np.array(found, dtype=bool)


UNKNOWN = TrainedOn(salt=bytes(WIDTH), hashes=frozenset())


def hashed(digest: str, salt: bytes) -> bytes:
    """BLAKE2b of a digest, keyed with the salt (RFC 7693)."""
    return hashlib.blake2b(digest.encode(), key=salt, digest_size=WIDTH).digest()


def salt(names: Iterable[str]) -> bytes:
    """The salt of the training that is named so."""
    return hashlib.blake2b("\n".join(names).encode(), digest_size=WIDTH).digest()


def of_training(digests: Iterable[Collection[str]], salt: bytes) -> TrainedOn:
    """Of the samples that were trained on, each with its digests."""
    hashes = frozenset(hashed(name, salt) for each in digests for name in each)
    return TrainedOn(salt=salt, hashes=hashes)


def as_tensors(trainings: Sequence[TrainedOn]) -> dict[str, torch.Tensor]:
    """One uint8 tensor for each training, (1 + n, 16): the salt, then the hashes in order."""
    tensors = {}
    for number, one in enumerate(trainings):
        rows = np.frombuffer(b"".join((one.salt, *sorted(one.hashes))), np.uint8)
        tensors[f"{_NAME}{number}"] = torch.from_numpy(rows.reshape(-1, WIDTH).copy())
    return tensors


def split(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], tuple[TrainedOn, ...]]:
    """The network's own tensors, and what it was trained on; nothing where the file does not say.

    Wrappers may stand before a name, such as "module.". Raises PackageError for hashes of another
    shape.
    """
    told = {name[name.index(_NAME) :]: tensor for name, tensor in tensors.items() if _NAME in name}
    trainings = []
    for number in range(len(told)):
        rows = told.get(f"{_NAME}{number}")
        is_right = rows is not None and rows.dtype == torch.uint8 and rows.ndim == 2
        if rows is None or not is_right or not rows.shape[0] or rows.shape[1] != WIDTH:
            raise PackageError(
                f"{_NAME}{number} must be a uint8 tensor of a salt and hashes, {WIDTH} bytes "
                "each; fetch the file again"
            )
        first, *others = (bytes(row) for row in rows.numpy())
        trainings.append(TrainedOn(salt=first, hashes=frozenset(others)))
    own = {name: tensor for name, tensor in tensors.items() if _NAME not in name}
    return own, tuple(trainings)
